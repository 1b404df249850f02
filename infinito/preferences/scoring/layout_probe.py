"""Chooses the fastest pair layout under which a model's log-probabilities stay the same.

Not every architecture supports block masks and positions that restart: windowed attention loses its
window under a given mask, ALiBi and recurrent models accept no such mask, and some models scale or
cap the logits of their linear head. The probe compares log-probabilities on two real pairs: the one
whose answer ends last, and the one with the longest row, where local attention may miss tokens.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from infinito.errors import InfinitoError
from infinito.models.log_probs.agreement import (
    attention_window,
    describe_disagreement,
    exact_products,
)
from infinito.models.log_probs.chosen_tokens import Head, changes_logits, has_plain_head
from infinito.preferences.scoring.answer_scores import score_answers
from infinito.preferences.scoring.layouts import LAYOUTS, LayoutName, Pair, arrange

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Layout:
    """A layout of pairs and the way in which a model's logits are computed."""

    name: LayoutName
    head: Head
    obstacles: tuple[str, ...] = ()
    """Why each faster way does not suit the model."""


def choose_layout(model: nn.Module, pairs: Sequence[Pair], fastest: str = "auto") -> Layout:
    """Return the first layout, from `fastest` on, that agrees with the model's plain logits.

    Another layout than the named one is warned of once, with the reason.

    Args:
        model: A causal language model; its training mode is kept.
        pairs: All that will be laid out; the longest are tried.
        fastest: `auto` or a name in `LAYOUTS`.
    """
    names = LAYOUTS if fastest == "auto" else LAYOUTS[LAYOUTS.index(fastest) :]
    last, longest = max(pairs, key=_end), max(pairs, key=_row_tokens)
    tried = [last] if last is longest else [last, longest]
    training = model.training
    model.eval()
    try:
        with exact_products():
            return _first_fitting(model, tried, names)
    finally:
        model.train(training)


def _end(pair: Pair) -> int:
    """Return the number of tokens up to the end of the longer answer."""
    return len(pair.prompt_ids) + max(len(pair.chosen_ids), len(pair.rejected_ids))


def _row_tokens(pair: Pair) -> int:
    """Return the number of tokens of a shared row, up to a constant."""
    return len(pair.prompt_ids) + len(pair.chosen_ids) + len(pair.rejected_ids)


def _first_fitting(model: nn.Module, pairs: Sequence[Pair], names: Sequence[LayoutName]) -> Layout:
    heads: tuple[Head, ...] = ("fused", "module")
    obstacles: list[str] = []
    if not has_plain_head(model) or changes_logits(model, _whole_inputs(model, pairs[0])):
        heads = ("module",)
        obstacles.append("fused head: the model's logits are not those of a linear head alone")
    passed: list[str] = []
    for name in names:
        if name == "full":
            break
        for head in heads:
            found = (_obstacle(model, pair, name, head) for pair in pairs)
            obstacle = next(filter(None, found), None)
            if obstacle is None:
                _warn(names[0], name, passed)
                return Layout(name, head, tuple(obstacles))
            obstacles.append(f"{name} layout, {head} head: {obstacle}")
        passed.append(obstacles[-1])
    _warn(names[0], "full", passed)
    return Layout("full", "module", tuple(obstacles))


def _warn(wanted: str, found: str, obstacles: Sequence[str]) -> None:
    if obstacles:
        reasons = "; ".join(obstacles)
        log.warning("pairs are laid out as `%s` and not as `%s`: %s", found, wanted, reasons)


@torch.no_grad()
def _obstacle(model: nn.Module, pair: Pair, name: LayoutName, head: Head) -> str | None:
    """Return why a layout does not suit the model, or None."""
    end = _end(pair)
    window = attention_window(model)
    if name == "shared" and window is not None and window < end:
        return (
            f"attention is limited to {window} tokens, which a block mask would undo, and the "
            f"longest answer ends at token {end}"
        )
    plain = _log_probs(model, pair, "full", head)
    try:
        found = _log_probs(model, pair, name, head)
    except (
        *(RuntimeError, ValueError, TypeError, IndexError, AttributeError, KeyError),
        InfinitoError,
    ) as error:
        return f"the model refuses it ({str(error).splitlines()[0] or type(error).__name__})"
    return describe_disagreement(model, found, plain)


def _log_probs(model: nn.Module, pair: Pair, name: LayoutName, head: Head) -> torch.Tensor:
    """Return log-probabilities of the tokens of the chosen answer, then of the rejected one."""
    # Answer by answer: the plain logits of a large vocabulary would set the training's peak memory.
    call_tokens = 0 if name == "full" else None
    batch = arrange([pair], name, call_tokens=call_tokens).to(next(model.parameters()).device)
    scores = score_answers(model, batch, head).tokens.log_probs.double()
    return scores[batch.answers.argsort(stable=True)]


def _whole_inputs(model: nn.Module, pair: Pair) -> dict[str, torch.Tensor]:
    """Return one answer's row as the layout `full` has it."""
    batch = arrange([pair], "full", call_tokens=0).to(next(model.parameters()).device)
    return batch.inputs[0]
