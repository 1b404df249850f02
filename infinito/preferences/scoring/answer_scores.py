"""Scores the answers of a batch of pairs with a causal language model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from infinito.models.log_probs.token_log_probs import TokenScores, logit_scores, token_scores
from infinito.preferences.scoring.layouts import PairBatch

Head = Literal["fused", "module"]
"""`fused` uses the head's weight, for models whose logits are those of a bare linear layer;
`module` runs the model's own head and what follows it, on answer positions only."""


class AnswerScores(NamedTuple):
    """Scores of the answers of a batch, chosen ones first."""

    log_probs: Tensor
    """(2·pairs,) float64: sums over the tokens of each answer, in nats."""
    tokens: TokenScores
    """Scores of each token, in the order of the batch's targets."""


def score_answers(
    model: nn.Module, batch: PairBatch, head: Head = "fused", statistics: bool = False
) -> AnswerScores:
    """Return the scores of the answers of a batch.

    Args:
        model: A causal language model of transformers, or one wrapped by peft.
        batch: Pairs in a layout that suits the model (see `layout_probe`).
        head: How logits are computed; the layout `full` always takes the model's own.
        statistics: Compute entropy, mean logits and top choices of the tokens too.
    """
    parts = range(len(batch.inputs))
    if head == "fused" and batch.layout != "full":
        hidden = torch.cat([_hidden_at(model, batch, part) for part in parts])
        module = model.get_output_embeddings()  # type: ignore[operator]
        scores = token_scores(hidden, module.weight, module.bias, batch.targets, statistics)
    else:
        logits = torch.cat([_logits_at(model, batch, part) for part in parts])
        scores = logit_scores(logits, batch.targets, statistics)
    sums = torch.zeros(len(batch.tokens), dtype=torch.float64, device=batch.tokens.device)
    return AnswerScores(sums.index_add(0, batch.answers, scores.log_probs.double()), scores)


def has_plain_head(model: nn.Module) -> bool:
    """Return whether the model's head is a bare linear layer, whose weight may be used."""
    return type(model.get_output_embeddings()) is nn.Linear  # type: ignore[operator]


def _forward(model: nn.Module, batch: PairBatch, part: int) -> Any:
    inputs = batch.inputs[part]
    if batch.layout == "shared":  # an added mask must have the scores' type
        mask = inputs["attention_mask"].to(next(model.parameters()).dtype)
        inputs = {**inputs, "attention_mask": mask}
    return model(**inputs, use_cache=False)


def _hidden_at(model: nn.Module, batch: PairBatch, part: int) -> Tensor:
    """Return the head's inputs (answer tokens of the part, dim), without running the head."""
    found: list[Tensor] = []

    def take(hidden: Tensor) -> Tensor:
        found.append(hidden.flatten(0, 1)[batch.positions[part]])
        return hidden[:, :0]

    with _before_head(model, take):
        _forward(model, batch, part)
    return found[0]


def _logits_at(model: nn.Module, batch: PairBatch, part: int) -> Tensor:
    """Return the model's own logits (answer tokens of the part, vocab)."""
    positions = batch.positions[part]
    if batch.layout == "full":
        logits: Tensor = _forward(model, batch, part).logits
        return logits.flatten(0, 1)[positions]

    def keep(hidden: Tensor) -> Tensor:
        return hidden.flatten(0, 1)[None, positions]

    with _before_head(model, keep):
        logits = _forward(model, batch, part).logits
    return logits[0]


@contextmanager
def _before_head(model: nn.Module, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Changes what the model's head gets: every architecture keeps its own trunk and masks."""

    def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (change(inputs[0]), *inputs[1:])

    handle = model.get_output_embeddings().register_forward_pre_hook(hook)  # type: ignore[operator]
    try:
        yield
    finally:
        handle.remove()
