"""Scores the pairs of a file by a policy and its reference, for `task=score_pairs`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from infinito.config import RunConf
from infinito.errors import CheckpointError
from infinito.models.pretrained.opening import check_length
from infinito.models.trained import Trained
from infinito.preferences.assembly import (
    build_pair_sets,
    build_pair_tokenizer,
    count_token_ids,
    require_pairs,
)
from infinito.preferences.pairs.bundled import HELD_OUT
from infinito.preferences.pairs.pair import TokenizedPair
from infinito.preferences.pairs.pair_set import PairSet, read_pairs
from infinito.preferences.scoring.figures import (
    PreferenceScores,
    correlate_with_length,
    measure_displacement,
    score_by_length,
    summarize_by_category,
    summarize_scores,
)
from infinito.preferences.scoring.layout_probe import choose_layout
from infinito.preferences.scoring.log_prob_table import tabulate_log_probs


def read_scored_pairs(conf: RunConf, policy: Trained) -> PairSet:
    """Return all pairs of `data.path`, or the held-out ones that ship with infinito."""
    data = require_pairs(conf)
    path = str(HELD_OUT) if data.path is None else data.path
    texts = read_pairs(path, data.subset, data.max_rows, data.revision)
    tokenizer = build_pair_tokenizer(conf, policy.tokenizer, count_token_ids(policy.model))
    return build_pair_sets(conf, [texts], tokenizer)[0]


def score_pairs(
    conf: RunConf, policy: Trained, reference: Trained | None, pairs: PairSet
) -> PreferenceScores:
    """Return the log-probabilities that policy and reference give the answers."""
    return combine_log_probs(
        pairs.pairs,
        _tabulate(conf, policy, pairs.pairs),
        None if reference is None else _tabulate(conf, reference, pairs.pairs),
    )


def _tabulate(conf: RunConf, trained: Trained, pairs: Sequence[TokenizedPair]) -> Tensor:
    """Return the log-probabilities (pairs, 2) that a model gives the answers.

    Raises:
        ConfigError: a pair is longer than the positions that the model has learned.
    """
    longest = max(
        len(each.prompt_ids) + max(len(each.chosen_ids), len(each.rejected_ids)) for each in pairs
    )
    check_length(trained.model, longest)
    layout = choose_layout(trained.model, pairs, conf.dpo.layout)
    return tabulate_log_probs(trained.model, pairs, layout)


def combine_log_probs(
    pairs: Sequence[TokenizedPair], policy: Tensor, reference: Tensor | None
) -> PreferenceScores:
    """Return two tables (pairs, 2) of log-probabilities as scores; no reference counts as 0."""
    ours = policy.numpy()
    theirs = np.zeros_like(ours) if reference is None else reference.numpy()
    return PreferenceScores(
        ours[:, 0],
        ours[:, 1],
        theirs[:, 0],
        theirs[:, 1],
        np.array([len(pair.chosen_ids) for pair in pairs]),
        np.array([len(pair.rejected_ids) for pair in pairs]),
        [pair.category for pair in pairs],
    )


def build_score_report(
    scores: PreferenceScores, beta: float, has_reference: bool
) -> dict[str, Any]:
    """Return all figures of pairs: overall, by category, and those of length alone."""
    moved = None
    if has_reference:
        moved = measure_displacement(
            scores.chosen - scores.reference_chosen, scores.rejected - scores.reference_rejected
        )
    return {
        "overall": summarize_scores(scores, beta),
        "by_category": summarize_by_category(scores, beta),
        "baselines": score_by_length(scores),
        "reward_length_correlation": correlate_with_length(scores, beta),
        "displacement": moved,
    }


def list_pairs(
    pairs: Sequence[TokenizedPair], scores: PreferenceScores, beta: float
) -> list[dict[str, Any]]:
    """Return row, category and implicit rewards of each pair."""
    chosen, rejected = scores.rewards(beta)
    return [
        {
            "row": pair.row,
            "category": pair.category,
            "reward_chosen": float(ours),
            "reward_rejected": float(theirs),
            "margin": float(ours - theirs),
        }
        for pair, ours, theirs in zip(pairs, chosen, rejected, strict=True)
    ]


def check_tokenizers(policy: Trained, reference: Trained) -> None:
    """Check that policy and reference have the same tokens.

    Raises:
        CheckpointError: their vocabularies differ.
    """
    if policy.tokenizer.get_vocab() != reference.tokenizer.get_vocab():
        raise CheckpointError(
            f"{policy.source} and {reference.source} have different tokenizers "
            f"({len(policy.tokenizer)} and {len(reference.tokenizer)} tokens), so their "
            "log-probabilities do not compare. Name the model that the policy was trained from: "
            "`dpo.reference_checkpoint=…`"
        )
