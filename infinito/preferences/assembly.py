"""Builds what preference tuning needs: pairs, their tokenizer, the policy, its objective."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from infinito.config import PairsConf, PretrainedConf, RunConf
from infinito.data.assembly import build_tokenizer_spec
from infinito.data.conversations.rows.faults import BadRow, RowFault, refuse_bad_rows
from infinito.data.encoding import count_ids
from infinito.data.tokenizers.bpe import SMALLEST_VOCAB, BpeTokenizer
from infinito.device import choose_device
from infinito.models.assembly import build_language_model
from infinito.models.pretrained.opening import open_weights
from infinito.models.trained import (
    load_weights,
    open_tokenizer,
    open_trained,
)
from infinito.preferences.objective.weighted_losses import PreferenceObjective
from infinito.preferences.pairs.bundled import HELD_OUT, TRAINING
from infinito.preferences.pairs.pair_set import (
    PairSet,
    TextPairs,
    find_block_size,
    read_pairs,
    require_usable,
    split_by_prompt,
    tokenize_pairs,
)
from infinito.preferences.pairs.text_pair import TextPair
from infinito.preferences.pairs.tokenizing import PairTokenizer
from infinito.preferences.warm_up import warm_up
from infinito.seeding import child_seed
from infinito.training.module.starting import start_from_checkpoint

BUNDLED = "the pairs that ship with infinito"


@dataclass(frozen=True)
class Policy:
    """The policy before tuning."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    origin: str
    """Where its weights come from, for messages."""
    is_new: bool
    """Whether this run made it, so that nothing else keeps its weights."""


def read_pair_texts(conf: RunConf) -> tuple[TextPairs, TextPairs]:
    """Return training and held-out pairs as text.

    Raises:
        DataError: a file is missing, unreadable or empty, or too small to be split.
    """
    data = require_pairs(conf)
    read = partial(read_pairs, limit=data.max_rows)
    if data.path is None:
        return (
            replace(read(str(TRAINING)), source=f"{BUNDLED}, training"),
            replace(read(str(HELD_OUT)), source=f"{BUNDLED}, held out"),
        )
    training = read(data.path, data.subset, revision=data.revision)
    if data.held_out_path is not None:
        held_out = read(
            data.held_out_path,
            data.held_out_subset,
            revision=data.held_out_revision,
            key="data.held_out_path",
        )
        return training, held_out
    if not training.pairs:
        refuse_bad_rows(training.bad, data.on_bad_row, training.source, 0)
    return split_by_prompt(training, data.held_out_fraction)


def build_pair_tokenizer(
    conf: RunConf, tokenizer: PreTrainedTokenizerFast, vocab: int | None = None
) -> PairTokenizer:
    """Return what turns pairs into token ids, as `data` says.

    Args:
        conf: The configuration.
        tokenizer: The policy's.
        vocab: Number of ids that the model has.
    """
    data = require_pairs(conf)
    return PairTokenizer(
        tokenizer,
        window=data.block_size,
        truncate=data.truncate,
        chat=data.chat,
        chat_template=data.chat_template,
        end_token=data.end_token,
        vocab=vocab,
    )


def build_pair_sets(
    conf: RunConf, texts: Sequence[TextPairs], tokenizer: PairTokenizer
) -> list[PairSet]:
    """Return sets of pairs as token ids, bad rows refused or dropped as `data.on_bad_row` says.

    Raises:
        DataError: see `refuse_bad_rows`. The block size it names holds the rows of all sets.
    """
    sets = [tokenize_pairs(each, tokenizer) for each in texts]
    block_size = find_block_size(*sets)
    return [require_usable(each, require_pairs(conf).on_bad_row, block_size) for each in sets]


def build_tokenizer(conf: RunConf, texts: TextPairs) -> PreTrainedTokenizerFast:
    """Return the tokenizer that `tokenizer` names; one that is trained reads all the texts.

    Raises:
        DataError: the chat template can write none of them, see `refuse_bad_rows`.
    """
    spec = build_tokenizer_spec(conf)
    if not spec.is_trained:
        return spec.build([], separates_documents=True)
    written, pieces_of_pairs = render_texts(conf, texts)
    if texts.pairs and not written.pairs:
        refuse_bad_rows(written.bad, require_pairs(conf).on_bad_row, texts.source, 0)
    pieces = [piece for each in pieces_of_pairs for piece in each]
    return spec.build(pieces, separates_documents=True)


def build_policy(conf: RunConf, texts: Sequence[TextPairs], start: Path | None = None) -> Policy:
    """Return the model to tune: a trained one, or one made here and warmed up.

    Args:
        conf: The configuration.
        texts: The training pairs, which train a new tokenizer and a new model, and the held-out
            ones, which must fit the window too.
        start: Where a stopped run keeps the model and tokenizer that it made; None to make them.
    """
    device: Any = choose_device(conf)
    if conf.checkpoint is not None:
        trained = open_trained(conf.checkpoint)
        model = start_from_checkpoint(conf, trained).to(device)
        return Policy(model, trained.tokenizer, conf.checkpoint, is_new=False)
    tokenizer = build_tokenizer(conf, texts[0]) if start is None else open_tokenizer(start)
    model = build_language_model(conf, count_ids(tokenizer), tokenizer.eos_token_id).to(device)
    if isinstance(conf.model, PretrainedConf):
        return Policy(model, tokenizer, str(conf.model.path), is_new=False)
    if start is not None:
        load_weights(model, open_weights(start).state_dict(), start)
    elif conf.dpo.warmup_steps:
        warm_up_on(conf, model, tokenizer, texts)
    steps = f"{conf.dpo.warmup_steps} steps on the text of {texts[0].source}"
    return Policy(model, tokenizer, f"made here, {steps}", is_new=True)


def warm_up_on(
    conf: RunConf,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    texts: Sequence[TextPairs],
) -> None:
    """Train a new model to write as the training pairs do, chosen and rejected answers alike."""
    pairs = build_pair_sets(conf, texts, build_pair_tokenizer(conf, tokenizer))[0].pairs
    torch.manual_seed(child_seed(conf.seed, "warm-up"))
    warm_up(
        model,
        [
            [*pair.prompt_ids, *answer]
            for pair in pairs
            for answer in (pair.chosen_ids, pair.rejected_ids)
        ],
        steps=conf.dpo.warmup_steps,
        lr=conf.dpo.warmup_lr,
        batch_size=2 * conf.data.batch_size * conf.trainer.processes,
        seed=child_seed(conf.seed, "warm-up batches"),
    )


def build_preference_objective(conf: RunConf) -> PreferenceObjective:
    """Return what preference tuning minimizes."""
    dpo = conf.dpo
    weights = dpo.loss_weights or [1.0] * len(dpo.loss)
    return PreferenceObjective(
        dict(zip(dpo.loss, weights, strict=True)),
        beta=dpo.beta,
        label_smoothing=dpo.label_smoothing,
        nll_weight=dpo.nll_weight,
        average_length=dpo.average_length,
        discopop_tau=dpo.discopop_tau,
        simpo_gamma=dpo.simpo_gamma,
    )


def require_pairs(conf: RunConf) -> PairsConf:
    """Return the configuration of the pairs."""
    assert isinstance(conf.data, PairsConf), "pair_faults refuses other data"
    return conf.data


def count_token_ids(model: PreTrainedModel) -> int:
    """Return the number of ids that a model has embeddings for."""
    return int(model.get_input_embeddings().num_embeddings)  # type: ignore[arg-type]


def render_texts(conf: RunConf, texts: TextPairs) -> tuple[TextPairs, list[list[str]]]:
    """Return the pairs as the chat template writes them, those that it refuses among the bad rows.

    Returns:
        The pairs that it writes, and the pieces of text of each.
    """
    bytes_alone = BpeTokenizer(SMALLEST_VOCAB).build([], separates_documents=True)
    tokenizer = build_pair_tokenizer(conf, bytes_alone)
    kept: list[TextPair] = []
    bad = list(texts.bad)
    pieces: list[list[str]] = []
    for pair in texts.pairs:
        try:
            pieces.append(list(tokenizer.render(pair)))
        except RowFault as fault:
            bad.append(BadRow.from_fault(pair.row, fault))
        else:
            kept.append(pair)
    return TextPairs(texts.source, kept, sorted(bad, key=lambda each: each.row)), pieces
