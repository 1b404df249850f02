"""The attention function that models call: prepare queries and keys, pick a backend, attend."""

from __future__ import annotations

import torch
from torch import Tensor

from infinito.attention.arguments import (
    check_dropout,
    check_factor,
    check_mask,
    check_scale,
    check_tensors,
)
from infinito.attention.backends.backend import Request
from infinito.attention.backends.registry import choose_backend
from infinito.attention.derivatives import needs_every_derivative
from infinito.attention.masking import share_groups
from infinito.attention.metrics import cosine
from infinito.attention.metrics.table import KERNELS, find_metric
from infinito.attention.precision import widen
from infinito.attention.watching import AttentionCall, note


def distance_attention(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    *,
    metric: str,
    scale: float | Tensor = 1.0,
    p: float | None = None,
    causal: bool = True,
    dropout_p: float = 0.0,
    key_padding: Tensor | None = None,
    backend: str = "auto",
) -> Tensor:
    """Return softmax attention whose scores are similarities or negative distances.

    Args:
        queries: (batch, heads, time_q, dim).
        keys: (batch, kv_heads, time_k, dim), kv_heads dividing heads.
        values: (batch, kv_heads, time_k, value_dim).
        metric: a name in `METRICS`.
        scale: λ > 0, a number or a tensor (heads,) or (1,) that may carry a gradient.
        p: exponent of metric lp, at least 1.
        causal: query i sees key j when j <= i + time_k − time_q.
        dropout_p: probability with which a weight is dropped, below 1.
        key_padding: bool (batch, time_k), True for a real token (what hides behind False must be
            finite all the same: a weight of 0 times NaN is NaN); or bool (batch or 1, heads or 1,
            time_q, time_k), which then replaces `causal`. A row that sees no key is 0.
        backend: a name in `registry.BACKENDS`, or "auto".

    Returns:
        (batch, heads, time_q, value_dim).

    Raises:
        ConfigError: metric, p or backend unknown, or a forced backend that cannot serve.
        ValueError: shapes that do not fit together, a scale that does not fit the heads or is not
            finite and above 0, or a dropout that is no probability below 1.
        TypeError: queries, keys or values that are not floating point.
    """
    queries, keys, values, factor = prepare(queries, keys, values, metric, scale, p)
    return attend_prepared(
        queries,
        keys,
        values,
        kernel=find_metric(metric, p).KERNEL,
        factor=factor,
        p=p,
        causal=causal,
        dropout_p=dropout_p,
        key_padding=key_padding,
        backend=backend,
    )


def prepare(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    metric: str,
    scale: float | Tensor = 1.0,
    p: float | None = None,
) -> tuple[Tensor, Tensor, Tensor, float]:
    """Return queries, keys, values and the factor of a kernel's score that make the metric's.

    A scale that is a tensor is folded into queries and keys, float32 at least, and the factor is 1;
    with one scale per head and shared key heads, keys and values are then repeated for each head.

    Raises:
        ConfigError: metric or p unknown.
        ValueError: shapes that do not fit together, or a scale that does not fit the heads or is
            not finite and above 0.
        TypeError: tensors that are not floating point.
    """
    found = find_metric(metric, p)
    check_tensors(queries, keys, values)
    check_scale(scale, queries.shape[1])
    if found is cosine:
        queries, keys = cosine.prepare(queries, keys)
    factor = found.factor(scale, queries.shape[-1])
    if not isinstance(factor, Tensor):
        check_factor(factor, scale)
        return queries, keys, values, factor
    if factor.numel() > 1:
        heads = queries.shape[1]
        keys, values = share_groups(keys, heads), share_groups(values, heads)
    # Eight bits of bfloat16 would round λ and each product: of a distance, most digits would go.
    queries, keys = widen(queries), widen(keys)
    by = factor.to(queries.dtype).view(-1, 1, 1)  # (1 or heads, 1, 1)
    return *KERNELS[found.KERNEL].fold(queries, keys, by), values, 1.0


def attend_prepared(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    *,
    kernel: str,
    factor: float = 1.0,
    p: float | None = None,
    causal: bool = True,
    dropout_p: float = 0.0,
    key_padding: Tensor | None = None,
    backend: str = "auto",
) -> Tensor:
    """Return attention of what `prepare` made; see `distance_attention`."""
    request = describe(queries, keys, values, kernel, factor, p, causal, dropout_p, key_padding)
    note(AttentionCall(queries, keys, kernel, factor, p, causal, key_padding))
    chosen = choose_backend(request, backend)
    return chosen.attend(queries, keys, values, request, key_padding)


def describe(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    kernel: str,
    factor: float,
    p: float | None,
    causal: bool,
    dropout_p: float,
    key_padding: Tensor | None,
) -> Request:
    """Return the request that a call with these tensors makes.

    Raises:
        ValueError: shapes that do not fit together, or a dropout that is no probability below 1.
        TypeError: tensors that are not floating point.
    """
    check_tensors(queries, keys, values)
    check_dropout(dropout_p)
    batch, heads, time_q, dim = queries.shape
    _, kv_heads, time_k, value_dim = values.shape
    free_mask = key_padding is not None and key_padding.ndim == 4
    if key_padding is not None:
        check_mask(key_padding, batch, heads, time_q, time_k)
    grad = torch.is_grad_enabled() and (
        queries.requires_grad or keys.requires_grad or values.requires_grad
    )
    return Request(
        kernel,
        p,
        queries.device.type,
        queries.dtype,
        grad,
        causal,
        dropout_p,
        key_padding is not None and not free_mask,
        batch,
        heads,
        kv_heads,
        time_q,
        time_k,
        dim,
        value_dim,
        free_mask,
        factor,
        needs_every_derivative(),
    )
