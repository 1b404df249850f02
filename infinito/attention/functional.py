"""The attention function that models call: check, fold λ into queries and keys, pick a backend."""

from __future__ import annotations

import torch
from torch import Tensor

from infinito.attention.backend import Request
from infinito.attention.masking import share_groups
from infinito.attention.metrics import find_metric
from infinito.attention.registry import choose_backend


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
        dropout_p: probability with which a weight is dropped.
        key_padding: bool (batch, time_k), True for a real token. A row that sees no key is 0.
        backend: a name in `registry.BACKENDS`, or "auto".

    Returns:
        (batch, heads, time_q, value_dim).

    Raises:
        ConfigError: metric, p or backend unknown, or a forced backend that cannot serve.
        ValueError: shapes that do not fit together.
    """
    folded_queries, folded_keys = fold(queries, keys, metric=metric, scale=scale, p=p)
    if folded_keys.shape[1] != keys.shape[1]:
        values = share_groups(values, queries.shape[1])
    return attend_folded(
        folded_queries,
        folded_keys,
        values,
        kernel=find_metric(metric, p).KERNEL,
        p=p,
        causal=causal,
        dropout_p=dropout_p,
        key_padding=key_padding,
        backend=backend,
    )


def fold(
    queries: Tensor,
    keys: Tensor,
    *,
    metric: str,
    scale: float | Tensor = 1.0,
    p: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Return queries and keys whose bare score is the scaled one, so that kernels know no λ.

    With λ per head and shared key heads, keys are repeated for each head first.

    Raises:
        ConfigError: metric or p unknown.
    """
    if isinstance(scale, Tensor):
        if scale.numel() > 1:
            keys = share_groups(keys, queries.shape[1])
        scale = scale.to(queries.dtype).view(-1, 1, 1)
    return find_metric(metric, p).fold(queries, keys, scale)


def attend_folded(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    *,
    kernel: str,
    p: float | None = None,
    causal: bool = True,
    dropout_p: float = 0.0,
    key_padding: Tensor | None = None,
    backend: str = "auto",
) -> Tensor:
    """Return attention of queries and keys that `fold` made; see `distance_attention`."""
    request = describe(queries, keys, values, kernel, p, causal, dropout_p, key_padding)
    return choose_backend(request, backend).attend(queries, keys, values, request, key_padding)


def describe(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    kernel: str,
    p: float | None,
    causal: bool,
    dropout_p: float,
    key_padding: Tensor | None,
) -> Request:
    """Return the request that a call with these tensors is.

    Raises:
        ValueError: shapes that do not fit together.
    """
    batch, heads, time_q, dim = queries.shape
    _, kv_heads, time_k, value_dim = values.shape
    if keys.shape != (batch, kv_heads, time_k, dim) or heads % kv_heads or not time_k:
        raise ValueError(
            f"queries {tuple(queries.shape)}, keys {tuple(keys.shape)} and values "
            f"{tuple(values.shape)} do not fit: expected (batch, heads, time_q, dim), "
            "(batch, kv_heads, time_k, dim), (batch, kv_heads, time_k, value_dim), kv_heads "
            "dividing heads, time_k at least 1."
        )
    if key_padding is not None and key_padding.shape != (batch, time_k):
        raise ValueError(
            f"key_padding {tuple(key_padding.shape)} does not fit: expected {(batch, time_k)}."
        )
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
        key_padding is not None,
        batch,
        heads,
        kv_heads,
        time_q,
        time_k,
        dim,
        value_dim,
    )
