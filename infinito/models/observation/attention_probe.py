"""Measures the attention of a model on a few windows: statistics of its rows, or its weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from transformers import PreTrainedModel

from infinito.attention import call_statistics
from infinito.models.observation.watching import watched_layers

PROBE_WINDOWS = 4
"""Validation windows whose attention is measured."""


@contextmanager
def evaluated_eagerly(model: PreTrainedModel) -> Iterator[None]:
    """Put a model in evaluation mode, uncompiled: growing text would compile for each length."""
    training, compiled = model.training, model._compiled_call_impl
    model.eval()
    model._compiled_call_impl = None
    try:
        yield
    finally:
        model._compiled_call_impl = compiled
        model.train(training)


@contextmanager
def returning_attention(model: PreTrainedModel) -> Iterator[None]:
    """Give transformers' own models eager attention: their faster ones return no weights."""
    own = model.config._attn_implementation
    has_memory = hasattr(model, "causal_lm")  # a memory cannot watch eager attention
    if own != "sdpa" or has_memory or not model._can_set_attn_implementation():
        yield
        return
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(own)


@torch.no_grad()
def probe_statistics(model: PreTrainedModel, inputs: Tensor) -> list[dict[str, float]]:
    """Return the statistics of each layer's attention, or [] where it cannot be watched.

    They are those of `attention_statistics`, computed in memory linear in time.

    Args:
        model: Any causal LM.
        inputs: Token ids (batch, time).
    """
    with evaluated_eagerly(model), watched_layers(model, last=None) as calls:
        model(input_ids=inputs, use_cache=False)
    return [call_statistics(call).means() for call in calls]


@torch.no_grad()
def probe_attention(model: PreTrainedModel, inputs: Tensor) -> list[Tensor]:
    """Return each layer's attention weights, (batch, heads, time, time), or [] without any.

    Args:
        model: Any causal LM that can return its attention.
        inputs: Token ids (batch, time).
    """
    with evaluated_eagerly(model), returning_attention(model):
        outputs = model(input_ids=inputs, output_attentions=True, use_cache=False)
    return list(outputs.attentions or [])
