"""Records attention calls, and computes the entropy of some rows of a call, with gradient.

Recording changes no output and computes nothing: a record keeps the queries and keys, which
training holds for its gradient anyway.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import torch
from torch import Tensor

from infinito.attention.exact_distances import exact_distances
from infinito.attention.masking import share_groups
from infinito.attention.metrics.table import KERNELS
from infinito.attention.reference import weigh


class AttentionCall(NamedTuple):
    """The tensors and settings that give one attention call its weights."""

    queries: Tensor
    """(batch, heads, time_q, dim), prepared for the kernel."""
    keys: Tensor
    """(batch, kv_heads, time_k, dim)."""
    kernel: str
    factor: float
    p: float | None
    causal: bool
    visible: Tensor | None
    """Padding (batch, time_k), or a whole mask of four axes; see `distance_attention`."""


Calls = deque[AttentionCall]

_watching: ContextVar[tuple[Calls, ...]] = ContextVar("watching", default=())


@contextmanager
def watched_attention(last: int | None = 1) -> Iterator[Calls]:
    """Keep the `last` attention calls (None: all) made inside, of any model; may be nested."""
    calls: Calls = deque(maxlen=last)
    token = _watching.set((*_watching.get(), calls))
    try:
        yield calls
    finally:
        _watching.reset(token)


def note(call: AttentionCall) -> None:
    """Record a call for everyone who watches; compiled code records none."""
    if torch.compiler.is_compiling():
        return
    for calls in _watching.get():
        calls.append(call)


def row_entropy(call: AttentionCall, rows: Tensor) -> Tensor:
    """Return the entropy of attention rows over the log of the keys that each sees, in [0, 1].

    Args:
        rows: Positions of queries, (rows,) or (batch, rows); no tensor time_q · time_k is made.

    Returns:
        Mean over heads, float32 at least (batch, rows); 0 for a row that sees one key or none.
    """
    rows = rows[None] if rows.ndim == 1 else rows  # (batch or 1, rows)
    queries, keys = call.queries, share_groups(call.keys, call.queries.shape[1])
    with torch.autocast(queries.device.type, enabled=False):
        wide = torch.promote_types(queries.dtype, torch.float32)
        queries = queries.take_along_dim(rows[:, None, :, None], dim=2).to(wide)
        scores = _scores(queries, keys.to(wide), call)  # (batch, heads, rows, time_k)
        visible = _visible_rows(call, rows).expand(scores.shape)
        weights = weigh(scores, visible)
        # log Σ exp(s) − Σ w·s: the gradient of Σ w·log w is not finite where a weight is 0.
        lowest = torch.finfo(scores.dtype).min
        log_sum = scores.masked_fill(~visible, lowest).logsumexp(-1)
        nats = log_sum - (weights * scores.masked_fill(~visible, 0)).sum(-1)
        seen = visible.sum(-1)  # (batch, heads, rows)
        share = nats.clamp_min(0) / seen.clamp_min(2).log()
        return torch.where(seen > 1, share, 0.0).mean(1)


def _scores(queries: Tensor, keys: Tensor, call: AttentionCall) -> Tensor:
    exponent = {"l1": 1.0, "l2": 2.0}.get(call.kernel)
    if exponent is None:
        return KERNELS[call.kernel].score(queries, keys, call.p) * call.factor
    return -call.factor * exact_distances(queries, keys, exponent)


def _visible_rows(call: AttentionCall, rows: Tensor) -> Tensor:
    """Return which keys the rows see, bool (batch or 1, heads or 1, rows, time_k)."""
    visible, time_k = call.visible, call.keys.shape[2]
    if visible is not None and visible.ndim == 4:
        return visible.take_along_dim(rows[:, None, :, None], dim=2)
    places = torch.arange(time_k, device=rows.device)
    seen = torch.ones(1, 1, 1, time_k, dtype=torch.bool, device=rows.device)
    if call.causal:
        shift = time_k - call.queries.shape[2]
        seen = places <= rows[:, None, :, None] + shift
    return seen if visible is None else seen & visible[:, None, None, :]
