"""Measures the language loss of a batch: of windows of text, or of the answers of conversations."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from torch import Tensor
from transformers import PreTrainedModel

from infinito.data.conversations.layouts import ConversationBatch
from infinito.models.log_probs.chosen_tokens import Head, score_tokens
from infinito.models.log_probs.chunked_loss import chunked_cross_entropy
from infinito.objectives.language import cross_entropy


class MeasuredLoss(NamedTuple):
    """The language loss of a batch."""

    nats: Tensor
    """Mean over the tokens that count, ()."""
    tokens: int
    """How many tokens count."""
    weight: float | None = None
    """What the mean is multiplied by before it is averaged over processes and the batches of a
    step; None for 1, where all batches have equally many tokens."""

    @property
    def weighted(self) -> Tensor:
        """The loss to minimize, ()."""
        return self.nats if self.weight is None else self.nats * self.weight


class BatchLoss(Protocol):
    """Measures the language loss of batches of one kind."""

    def __call__(self, model: PreTrainedModel, batch: Any) -> MeasuredLoss:
        """Return the loss of a batch."""


class WindowLoss:
    """The loss of windows of token ids (batch, block + 1): each token but the first is a target.

    Args:
        chunked: Never hold all logits of a batch (see `chunked_cross_entropy`).
    """

    def __init__(self, *, chunked: bool = False) -> None:
        self.chunked = chunked

    def __call__(self, model: PreTrainedModel, batch: Tensor) -> MeasuredLoss:
        """Return the loss of a batch."""
        inputs, targets = batch[:, :-1], batch[:, 1:]
        if self.chunked:
            return MeasuredLoss(chunked_cross_entropy(model, inputs, targets), targets.numel())
        logits = model(input_ids=inputs, use_cache=False).logits
        return MeasuredLoss(cross_entropy(logits, targets), targets.numel())


class ConversationLoss:
    """The loss of what the assistant wrote; the head runs on these tokens alone.

    Args:
        head: How a model's logits are computed.
    """

    def __init__(self, head: Head) -> None:
        self.head = head

    def __call__(self, model: PreTrainedModel, batch: ConversationBatch) -> MeasuredLoss:
        """Return the loss of a batch."""
        found = score_tokens(model, batch.inputs, batch.positions, batch.targets, self.head)
        tokens = len(batch.targets)
        return MeasuredLoss(-found.log_probs.mean(), tokens, tokens * batch.share)
