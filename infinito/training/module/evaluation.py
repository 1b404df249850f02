"""Measures a language model on a split: one pass in evaluation mode, each target predicted once."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext

import torch
from torch import Tensor
from transformers import PreTrainedModel

from infinito.data.conversations.layouts import ConversationBatch
from infinito.models.log_probs.chosen_tokens import Head, score_tokens
from infinito.objectives.language import cross_entropy


@torch.inference_mode()
def mean_loss(
    model: PreTrainedModel, batches: Iterable[Tensor], autocast: torch.dtype | None = None
) -> tuple[float, int]:
    """Return the mean loss in nats per token, and how many tokens it is the mean of.

    Args:
        model: Any causal language model; it is left in evaluation mode.
        batches: Windows of token ids (batch, block + 1).
        autocast: Lower precision to compute in, None for the model's own.
    """
    model.eval()
    total, count = torch.zeros((), dtype=torch.float64), 0
    device = model.device
    lower = torch.autocast(device.type, autocast) if autocast else nullcontext()
    for batch in batches:
        batch = batch.to(device)
        with lower:
            logits = model(input_ids=batch[:, :-1], use_cache=False).logits
        total += cross_entropy(logits, batch[:, 1:], reduction="sum").double().cpu()
        count += batch[:, 1:].numel()
    return float(total) / count, count


@torch.inference_mode()
def mean_answer_loss(
    model: PreTrainedModel,
    batches: Iterable[ConversationBatch],
    head: Head,
    autocast: torch.dtype | None = None,
) -> tuple[float, int]:
    """Return the mean loss of the assistant's tokens in nats, and how many tokens these are.

    Args:
        model: Any causal language model; it is left in evaluation mode.
        batches: Conversations in a layout that suits the model.
        head: How its logits are computed.
        autocast: Lower precision to compute in, None for the model's own.
    """
    model.eval()
    total, count = torch.zeros((), dtype=torch.float64), 0
    lower = torch.autocast(model.device.type, autocast) if autocast else nullcontext()
    for batch in batches:
        batch = batch.to(model.device)
        with lower:
            found = score_tokens(model, batch.inputs, batch.positions, batch.targets, head)
        total -= found.log_probs.double().sum().cpu()
        count += len(batch.targets)
    return float(total) / count, count
