"""`task=score_pairs`: which answers a trained model prefers, and by how much; no training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import Tensor

from infinito.config import RunConf
from infinito.device import choose_device
from infinito.errors import CheckpointError
from infinito.models.pretrained.opening import check_length
from infinito.models.trained import Trained, open_trained
from infinito.preferences.assembly import (
    build_pair_set,
    build_pair_tokenizer,
    count_token_ids,
    require_pairs,
)
from infinito.preferences.pairs.bundled import HELD_OUT
from infinito.preferences.pairs.pair import TokenizedPair
from infinito.preferences.pairs.pair_set import PairSet, read_pairs
from infinito.preferences.pairs.text_pair import counts_by_kind
from infinito.preferences.scoring.figures import (
    PreferenceScores,
    by_category,
    displacement,
    figures,
    length_baselines,
    reward_length_correlation,
)
from infinito.preferences.scoring.layout_probe import choose_layout
from infinito.preferences.scoring.log_prob_table import log_prob_table
from infinito.run_folder.folder import record_config
from infinito.run_folder.records import print_table, write_json


def run(conf: RunConf, folder: Path, overrides: Sequence[str]) -> float | None:
    """Writes pair_scores.json in `folder`, prints it, and returns the accuracy."""
    console = Console()
    device = choose_device(conf)
    policy = open_trained(str(conf.checkpoint)).to(device)
    reference = None
    if conf.dpo.reference_checkpoint is not None:
        reference = open_trained(conf.dpo.reference_checkpoint).to(device)
        check_tokenizers(policy, reference)
    pairs = scored_pairs(conf, policy)
    scores = scores_of(conf, policy, reference, pairs)
    report = {
        "policy": str(conf.checkpoint),
        "reference": conf.dpo.reference_checkpoint,
        "source": pairs.source,
        "dropped_rows": counts_by_kind(pairs.bad),
        "beta": conf.dpo.beta,
        **report_of(scores, conf.dpo.beta, has_reference=reference is not None),
        "pairs": per_pair(pairs.pairs, scores, conf.dpo.beta),
    }
    record_config(folder, asdict(conf), overrides)
    write_json(folder / "pair_scores.json", report)
    print_scores(console, report, has_reference=reference is not None)
    console.print(f"\nwritten to {folder / 'pair_scores.json'}", highlight=False, soft_wrap=True)
    return float(report["overall"]["accuracy"]["share"])


def scored_pairs(conf: RunConf, policy: Trained) -> PairSet:
    """All pairs of `data.path`, or the held-out ones that ship with infinito."""
    data = require_pairs(conf)
    path = str(HELD_OUT) if data.path is None else data.path
    texts = read_pairs(path, data.subset, data.max_rows)
    tokenizer = build_pair_tokenizer(conf, policy.tokenizer, count_token_ids(policy.model))
    return build_pair_set(conf, texts, tokenizer)


def scores_of(
    conf: RunConf, policy: Trained, reference: Trained | None, pairs: PairSet
) -> PreferenceScores:
    """The log-probabilities that policy and reference give the answers."""
    return preference_scores(
        pairs.pairs,
        table_of(conf, policy, pairs.pairs),
        None if reference is None else table_of(conf, reference, pairs.pairs),
    )


def table_of(conf: RunConf, trained: Trained, pairs: Sequence[TokenizedPair]) -> Tensor:
    """The log-probabilities (pairs, 2) that a model gives the answers.

    Raises:
        ConfigError: a pair is longer than the positions that the model has learned.
    """
    longest = max(
        len(each.prompt_ids) + max(len(each.chosen_ids), len(each.rejected_ids)) for each in pairs
    )
    check_length(trained.model, longest)
    layout = choose_layout(trained.model, pairs, conf.dpo.layout)
    return log_prob_table(trained.model, pairs, layout)


def preference_scores(
    pairs: Sequence[TokenizedPair], policy: Tensor, reference: Tensor | None
) -> PreferenceScores:
    """Tables (pairs, 2) of log-probabilities as scores; without a reference it counts as 0."""
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


def report_of(scores: PreferenceScores, beta: float, has_reference: bool) -> dict[str, Any]:
    """All figures of pairs: overall, by category, and what length alone would score."""
    moved = None
    if has_reference:
        moved = displacement(
            scores.chosen - scores.reference_chosen, scores.rejected - scores.reference_rejected
        )
    return {
        "overall": figures(scores, beta),
        "by_category": by_category(scores, beta),
        "baselines": length_baselines(scores),
        "reward_length_correlation": reward_length_correlation(scores, beta),
        "displacement": moved,
    }


def per_pair(
    pairs: Sequence[TokenizedPair], scores: PreferenceScores, beta: float
) -> list[dict[str, Any]]:
    """Row, category and implicit rewards of each pair."""
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
    """Checks that policy and reference read the same tokens.

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


def print_scores(console: Console, report: dict[str, Any], has_reference: bool) -> None:
    """Prints accuracy and margin, overall and by category, beside the length baselines."""
    table = Table(title=escape(report["source"]), title_justify="left", box=None)
    for column in ("", "pairs", "accuracy", "95 % interval", "margin", "95 % interval"):
        table.add_column(column)
    for name, found in {"all": report["overall"], **report["by_category"]}.items():
        accuracy, margin = found["accuracy"], found["margin"]
        table.add_row(
            escape(name),
            str(found["pairs"]),
            f"{accuracy['share']:.3f}",
            f"{accuracy['low']:.3f} to {accuracy['high']:.3f}",
            f"{margin['mean']:+.3f}",
            f"{margin['low']:+.3f} to {margin['high']:+.3f}",
        )
    console.print(table)
    correlation = report["reward_length_correlation"]
    rows = {
        name.replace("_", " "): f"{found['share']:.3f}"
        for name, found in report["baselines"].items()
    }
    rows["margin and length"] = "no correlation defined" if correlation is None else correlation
    if not has_reference:
        rows["reference"] = "none: rewards are β · log-probability. `dpo.reference_checkpoint=…`"
    print_table(console, "\nwhat length alone would score", rows)
