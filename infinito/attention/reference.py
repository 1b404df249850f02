"""The slow, obvious softmax attention of every metric: the oracle, which returns weights too."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import dropout

from infinito.attention.arguments import check_dropout, check_mask, check_scale, check_tensors
from infinito.attention.backends.backend import Backend, Request
from infinito.attention.masking import share_groups, visible_keys
from infinito.attention.metrics.table import KERNELS, find_metric
from infinito.attention.precision import widen


def weigh(scores: Tensor, visible: Tensor | None) -> Tensor:
    """Return the softmax over visible keys, (…, time_q, time_k), at least in float32.

    A row that sees no key gets weight 0 everywhere, and no NaN in its gradient either.
    """
    scores = widen(scores)
    if visible is None:
        return scores.softmax(-1)
    lowest = torch.finfo(scores.dtype).min
    return scores.masked_fill(~visible, lowest).softmax(-1) * visible


def reference_attention(
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
) -> tuple[Tensor, Tensor]:
    """Return attention outputs and weights; arguments as in `distance_attention`.

    Returns:
        (batch, heads, time_q, value_dim) in the dtype of the values, and the weights after dropout,
        (batch, heads, time_q, time_k).

    Raises:
        ConfigError: the metric is unknown, or lp has no p of at least 1.
        ValueError, TypeError: as `distance_attention`.
    """
    found = find_metric(metric, p)
    check_tensors(queries, keys, values)
    check_scale(scale, queries.shape[1])
    check_dropout(dropout_p)
    if key_padding is not None:
        batch, heads, time_q, _ = queries.shape
        check_mask(key_padding, batch, heads, time_q, keys.shape[2])
    if isinstance(scale, Tensor):
        scale = scale.view(-1, 1, 1)
    heads, dim = queries.shape[1], queries.shape[-1]
    scores = found.score(queries, share_groups(keys, heads), p)
    scores = scores * found.factor(scale, dim)
    return attend_by_scores(scores, values, causal, dropout_p, key_padding)


def attend_by_scores(
    scores: Tensor, values: Tensor, causal: bool, dropout_p: float, key_padding: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return outputs and weights of scores (batch, heads, time_q, time_k); shapes as above."""
    time_q, time_k = scores.shape[-2:]
    visible = visible_keys(
        time_q, time_k, causal=causal, key_padding=key_padding, device=scores.device
    )
    weights = weigh(scores, visible).to(values.dtype)
    if dropout_p:
        weights = dropout(weights, dropout_p)
    return weights @ share_groups(values, scores.shape[1]), weights


def attend_with_weights(
    queries: Tensor, keys: Tensor, values: Tensor, request: Request, key_padding: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return outputs and weights of prepared queries and keys; arguments as in `backend.Attend`."""
    keys = share_groups(keys, request.heads)
    scores = KERNELS[request.kernel].score(queries, keys, request.p) * request.factor
    return attend_by_scores(scores, values, request.causal, request.dropout_p, key_padding)


def _attend(
    queries: Tensor, keys: Tensor, values: Tensor, request: Request, key_padding: Tensor | None
) -> Tensor:
    return attend_with_weights(queries, keys, values, request, key_padding)[0]


def _unable(_: Request) -> str | None:
    return None


BACKEND = Backend("reference", _attend, _unable, takes_mask=True, has_every_derivative=True)
