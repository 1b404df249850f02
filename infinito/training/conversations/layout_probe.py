"""Chooses the fastest layout of conversations under which a model's predictions stay the same.

Not every architecture supports block masks and positions that restart; see `layout_probe` of pairs.
Each conversation alone, with all of the model's own logits, is the measure.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from infinito.data.conversations.conversation import TokenizedConversation
from infinito.data.conversations.layouts import LAYOUTS, LayoutName, arrange
from infinito.errors import InfinitoError
from infinito.models.log_probs.agreement import (
    attention_window,
    describe_disagreement,
    exact_products,
)
from infinito.models.log_probs.chosen_tokens import (
    Head,
    changes_logits,
    has_plain_head,
    score_tokens,
)
from infinito.models.memory.model import MemoryLMForCausalLM

TRIED = 3
"""Conversations that are tried: the longest, a middle one and the shortest."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ConversationLayout:
    """A layout of conversations and the way in which a model's logits are computed."""

    name: LayoutName
    head: Head


def choose_layout(
    model: PreTrainedModel, conversations: Sequence[TokenizedConversation], wanted: str = "auto"
) -> ConversationLayout:
    """Return the first layout, from `wanted` on, that agrees with the model's plain logits.

    Another layout than the wanted one is warned of once, with the reason.

    Args:
        model: A causal language model; its training mode is kept.
        conversations: All that will be laid out.
        wanted: `auto` or a name in `LAYOUTS`.
    """
    by_length = sorted(conversations, key=lambda each: len(each.inputs))
    tried = [by_length[place * (len(by_length) - 1) // (TRIED - 1)] for place in range(TRIED)]
    names = LAYOUTS if wanted == "auto" else LAYOUTS[LAYOUTS.index(wanted) :]
    training = model.training
    model.eval()
    try:
        with exact_products():
            return _first_fitting(model, tried, names)
    finally:
        model.train(training)


@torch.no_grad()
def _first_fitting(
    model: PreTrainedModel,
    conversations: Sequence[TokenizedConversation],
    names: Sequence[LayoutName],
) -> ConversationLayout:
    heads: tuple[Head, ...] = ("fused", "module")
    single = arrange(conversations[:1], "padded").to(model.device)
    if not has_plain_head(model) or changes_logits(model, single.inputs[0]):
        heads = ("module",)
    plain = _log_probs(model, conversations, "masked", "whole", alone=True)
    obstacles: list[str] = []
    for name in names:
        reason = _named_obstacle(model, conversations, name)
        for head in heads if reason is None else ():
            try:
                found = _log_probs(model, conversations, name, head)
            except (
                *(RuntimeError, ValueError, TypeError, IndexError, AttributeError, KeyError),
                InfinitoError,
            ) as error:
                reason = f"the model refuses it ({str(error).splitlines()[0]})"
                continue
            reason = describe_disagreement(model, found, plain)
            if reason is None:
                _warn(names[0], name, obstacles)
                return ConversationLayout(name, head)
        obstacles.append(f"{name}: {reason}")
    _warn(names[0], "masked", obstacles)
    return ConversationLayout("masked", "whole")


def _named_obstacle(
    model: PreTrainedModel, conversations: Sequence[TokenizedConversation], name: LayoutName
) -> str | None:
    """Return why a layout does not suit the model where a trial might not show it."""
    if isinstance(model, MemoryLMForCausalLM) and name != "masked":
        return "a memory must know which tokens are padding, and would read other conversations"
    if name != "packed":
        return None
    if getattr(model.config, "bigram_embeddings", 0):
        return "bigram embeddings would join the ends of two conversations"
    window, longest = attention_window(model), max(len(each.inputs) for each in conversations)
    if window is not None and window < longest:
        return f"attention is limited to {window} tokens, which a block mask would undo"
    return None


def _warn(wanted: str, found: str, obstacles: Sequence[str]) -> None:
    if obstacles:
        reasons = "; ".join(obstacles)
        log.warning("conversations are laid out as `%s`, not `%s`: %s", found, wanted, reasons)


def _log_probs(
    model: PreTrainedModel,
    conversations: Sequence[TokenizedConversation],
    name: LayoutName,
    head: Head,
    *,
    alone: bool = False,
) -> torch.Tensor:
    """Return log-probabilities of all learned tokens, the longest conversation first.

    Args:
        alone: Call the model for each conversation by itself.
    """
    ordered = sorted(conversations, key=lambda each: -len(each.inputs))
    groups = [[each] for each in ordered] if alone else [ordered]
    found = []
    for group in groups:
        batch = arrange(group, name, is_forced=True).to(model.device)
        scores = score_tokens(model, batch.inputs, batch.positions, batch.targets, head)
        found.append(scores.log_probs.double())
    return torch.cat(found)
