"""Scores chosen tokens of a batch with any causal language model: the head runs on them alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from infinito.models.log_probs.tied_gradient import tied_gradient
from infinito.models.log_probs.token_log_probs import TokenScores, logit_scores, token_scores

Head = Literal["fused", "module", "whole"]
"""`fused` uses the head's weight, for models whose logits are those of a bare linear layer;
`module` runs the model's own head and what follows it, on the chosen positions only; `whole` takes
the model's own logits of all positions."""


def score_tokens(
    model: nn.Module,
    inputs: Sequence[Mapping[str, Tensor]],
    positions: Sequence[Tensor],
    targets: Tensor,
    head: Head = "fused",
    statistics: bool = False,
) -> TokenScores:
    """Return the scores of the chosen tokens, part after part.

    Args:
        model: A causal language model of transformers, or one wrapped by peft.
        inputs: For each part, one call of the model, its keyword arguments.
        positions: For each part (its chosen tokens,): index into rows · time of the logits that
            predict the token.
        targets: (chosen tokens,) token ids.
        head: How logits are computed.
        statistics: Compute entropy, mean logits and top choices of the tokens too.
    """
    parts = list(zip(inputs, positions, strict=True))
    if head == "fused":
        with tied_gradient(model, len(parts)) as tied:
            hidden = torch.cat([_hidden_at(model, *part) for part in parts])
        module = model.get_output_embeddings()  # type: ignore[operator]
        return token_scores(hidden, module.weight, module.bias, targets, statistics, tied)
    logits_at = _whole_logits_at if head == "whole" else _logits_at
    return logit_scores(torch.cat([logits_at(model, *part) for part in parts]), targets, statistics)


def has_plain_head(model: nn.Module) -> bool:
    """Return whether the model's head is a bare linear layer, whose weight may be used."""
    return type(model.get_output_embeddings()) is nn.Linear  # type: ignore[operator]


@torch.no_grad()
def changes_logits(model: nn.Module, inputs: Mapping[str, Tensor]) -> bool:
    """Return whether the model caps or scales its head's logits; exact in every precision."""
    found: list[Tensor] = []

    def keep(_: nn.Module, __: object, logits: Tensor) -> None:
        found.append(logits.clone())

    handle = model.get_output_embeddings().register_forward_hook(keep)  # type: ignore[operator]
    try:
        logits = model(**inputs, use_cache=False).logits
    finally:
        handle.remove()
    return not torch.equal(logits.float(), found[0].float())


def _forward(model: nn.Module, inputs: Mapping[str, Tensor]) -> Any:
    mask = inputs.get("attention_mask")
    if mask is not None and mask.ndim == 4:  # an added mask must have the scores' type
        inputs = {**inputs, "attention_mask": mask.to(next(model.parameters()).dtype)}
    return model(**inputs, use_cache=False)


def _hidden_at(model: nn.Module, inputs: Mapping[str, Tensor], positions: Tensor) -> Tensor:
    """Return the head's inputs (chosen tokens, dim), without running the head."""
    found: list[Tensor] = []

    def take(hidden: Tensor) -> Tensor:
        found.append(hidden.flatten(0, 1)[positions])
        return hidden[:, :0]

    with _before_head(model, take):
        _forward(model, inputs)
    return found[0]


def _whole_logits_at(model: nn.Module, inputs: Mapping[str, Tensor], positions: Tensor) -> Tensor:
    """Return the model's own logits (chosen tokens, vocab), of all that it computes."""
    logits: Tensor = _forward(model, inputs).logits
    return logits.flatten(0, 1)[positions]


def _logits_at(model: nn.Module, inputs: Mapping[str, Tensor], positions: Tensor) -> Tensor:
    """Return the model's own logits (chosen tokens, vocab), its head run on no other."""

    def keep(hidden: Tensor) -> Tensor:
        return hidden.flatten(0, 1)[None, positions]

    with _before_head(model, keep):
        logits: Tensor = _forward(model, inputs).logits
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
