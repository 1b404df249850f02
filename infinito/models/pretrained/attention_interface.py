"""Distance attention in the form that transformers' attention interface calls, with its masks.

Importing this module registers `infinito_<metric>` with transformers for every metric, so that
`attn_implementation="infinito_l1"` works wherever a model is opened; λ is 1 unless
`replaced_attention` sets it.
"""

from __future__ import annotations

import math
from contextvars import ContextVar
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import causal_mask_function, prepare_padding_mask, sdpa_mask
from transformers.utils.output_capturing import _active_collector

from infinito.attention import METRICS, distance_attention, prepare, reference_attention
from infinito.attention.metrics.table import find_metric
from infinito.attention.watching import AttentionCall, note
from infinito.errors import ConfigError
from infinito.models.masks import whole_mask

PREFIX = "infinito_"

REFUSED = {
    "softcap": "it caps the logits of its attention",
    "s_aux": "its softmax has sinks",
    "sinks": "its softmax has sinks",
    "position_bias": "it adds a bias to its scores",
    "indices": "it picks the keys that a query sees",
    "block_indices": "it picks the keys that a query sees",
    "cache": "its cache is paged",
}
"""Options by which models change their attention, and the meaning of each."""

calling_modules: ContextVar[dict[nn.Module, int] | None] = ContextVar("calling", default=None)
"""Where a trial collects the modules that call the interface, with their heads."""


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    *,
    metric: str,
    **options: Any,
) -> tuple[Tensor, Tensor | None]:
    """Return the outputs of an attention and, where transformers collects them, its weights.

    Args:
        module: the attention module; its config may hold `distance_attention`.
        query: (batch, heads, time_q, dim).
        key: (batch, kv_heads, time_k, dim), with what the cache holds.
        value: (batch, kv_heads, time_k, value_dim).
        attention_mask: the mask that `visible` returned, or a user's own of four axes.
        scaling: the model's factor of a dot product.

    Returns:
        (batch, time_q, heads, value_dim), and (batch, heads, time_q, time_k) or None.

    Raises:
        ConfigError: an option that is refused, or a mask that is a bias.
    """
    if reason := more_than_scores(attention_mask, options):
        raise refusal(module, reason)
    settings = getattr(module.config, "distance_attention", None) or {}
    scale = scale_of(module, settings)
    if metric == "dot" and scaling is not None:
        scale = scale * (scaling * math.sqrt(query.shape[-1]))
    request: dict[str, Any] = {
        "metric": metric,
        "scale": scale,
        "p": settings.get("p"),
        "causal": getattr(module, "is_causal", True) if is_causal is None else is_causal,
        "dropout_p": dropout,
        "key_padding": as_visible(attention_mask, query),
    }
    weights = None
    if wants_weights(module, query.shape[1]):
        note(seen_call(query, key, value, request))
        mixed, weights = reference_attention(query, key, value, **request)
    else:
        backend = settings.get("backend", "auto")
        mixed = distance_attention(query, key, value, **request, backend=backend)
    return mixed.transpose(1, 2).contiguous(), weights


def seen_call(query: Tensor, key: Tensor, value: Tensor, request: dict[str, Any]) -> AttentionCall:
    """Return the record of a call to the reference, for those who watch attention."""
    metric, p = request["metric"], request["p"]
    queries, keys, _, factor = prepare(query, key, value, metric, request["scale"], p)
    kernel = find_metric(metric, p).KERNEL
    return AttentionCall(
        queries, keys, kernel, factor, p, request["causal"], request["key_padding"]
    )


def scale_of(module: nn.Module, settings: dict[str, Any]) -> float | Tensor:
    """Return the λ of an attention: learned (heads,) or (1,), or the fixed one."""
    (shared,) = getattr(module, "shared_scale", (None,))
    learned = getattr(module, "distance_scale", shared)
    scale: float | Tensor = settings.get("scale", 1.0) if learned is None else learned()
    return scale


def wants_weights(module: nn.Module, heads: int) -> bool:
    """Return whether attentions are being collected; record this module for a trial."""
    if torch.compiler.is_compiling():
        return False
    if (modules := calling_modules.get()) is not None:
        modules[module] = heads
    return "attentions" in (_active_collector.get() or ())


def more_than_scores(mask: Tensor | None, options: dict[str, Any]) -> str | None:
    """Return what this attention has besides scores and a mask of visible keys, or None."""
    for name, meaning in REFUSED.items():
        if options.get(name) is not None:
            return meaning
    if mask is None or mask.ndim == 2 or mask.dtype == torch.bool or torch.compiler.is_compiling():
        return None
    only_hides = mask.le(torch.finfo(mask.dtype).min / 2) | mask.eq(0)
    return None if only_hides.all() else "its mask adds a bias to the scores"


def as_visible(mask: Tensor | None, query: Tensor) -> Tensor | None:
    """Return a mask as `distance_attention` takes it."""
    if mask is None or mask.ndim == 2:
        return mask
    mask = whole_mask(mask)
    if mask.shape[2] == 1:  # a row for all queries, which then are not causal
        mask = mask.expand(-1, -1, query.shape[2], -1)
    if mask.shape[1] == mask.shape[2] == 1:
        return mask[:, 0, 0].expand(query.shape[0], -1)
    return mask


def visible(
    batch_size: int,
    q_length: int,
    kv_length: int,
    q_offset: int | Tensor = 0,
    kv_offset: int = 0,
    mask_function: Any = causal_mask_function,
    attention_mask: Tensor | None = None,
    local_size: int | None = None,
    allow_is_causal_skip: bool = True,
    **options: Any,
) -> Tensor | None:
    """Return the mask needed beyond plain causal attention, or None.

    This is the mask function registered with transformers.

    Args:
        attention_mask: (batch, time), true for a real token.
        local_size: the sliding window, where there is one.

    Returns:
        None, a padding (batch, kv_length), or bool (batch, 1, q_length, kv_length) where a window,
        packed rows or a cache allocated to its full length need more.
    """
    # A window longer than the text hides nothing.
    whole = mask_function is causal_mask_function or (local_size or 0) > kv_length
    aligned = isinstance(q_offset, int) and q_offset + q_length == kv_offset + kv_length
    if not (whole and aligned and allow_is_causal_skip):
        return sdpa_mask(
            batch_size,
            q_length,
            kv_length,
            q_offset,  # type: ignore[arg-type]
            kv_offset,
            mask_function,
            attention_mask,
            local_size,
            allow_is_causal_skip=False,
            **options,
        )
    padding = prepare_padding_mask(attention_mask, kv_length, kv_offset)
    if padding is None:
        return None
    padding = padding[:, kv_offset : kv_offset + kv_length]
    if not torch.compiler.is_compiling() and padding.all():
        return None
    return padding


def refusal(module: nn.Module, reason: str) -> ConfigError:
    """Return the error for a model whose attention is more than scores between queries and keys."""
    return ConfigError(
        f"`attention` cannot be changed in {type(module).__name__}: {reason}, which distance "
        "attention would drop. Use `attention=own`"
    )


for _metric in METRICS:
    AttentionInterface.register(PREFIX + _metric, partial(attend, metric=_metric))
    AttentionMaskInterface.register(PREFIX + _metric, visible)
