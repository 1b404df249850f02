"""Attention in blocks of queries, each recomputed for its gradient: plain torch, any kernel.

Memory is linear in time: no temporary is much larger than the queries, whatever the metric. It
needs nothing but torch, so it serves where no faster backend can.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor
from torch.nn.functional import dropout
from torch.utils.checkpoint import checkpoint

from infinito.attention.backends.backend import Backend, Request
from infinito.attention.exact_distances import exact_distances
from infinito.attention.masking import share_groups
from infinito.attention.metrics.table import KERNELS
from infinito.attention.reference import weigh

LEAST_ROWS = 4
"""Queries in a block at least: fewer would save little memory for much overhead."""

Block = Callable[[Tensor, Tensor, Tensor, Tensor | None, Request], Tensor]

_EXPONENTS = {"l1": 1.0, "l2": 2.0, "sq_l2": 2.0}


def _attend(
    queries: Tensor, keys: Tensor, values: Tensor, request: Request, mask: Tensor | None
) -> Tensor:
    return in_blocks(_attend_block, queries, keys, values, request, mask)


def in_blocks(
    block: Block,
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    request: Request,
    mask: Tensor | None,
) -> Tensor:
    """Return the results of `block` for some queries at a time, concatenated.

    Args:
        block: takes queries (batch, heads, rows, dim), the keys and values that they may see, which
            of these they see (None for all), and the request; returns (batch, heads, rows, width).

    Returns:
        (batch, heads, time_q, width).
    """
    rows = block_rows(request)
    if not _has_feature_axis(request.kernel) or request.batch * request.heads == 0:
        return _walk(block, queries, keys, values, request, mask, rows)
    single = request._replace(batch=1, heads=1, kv_heads=1)
    all_queries, all_keys, all_values = _heads(queries), _heads(keys), _heads(values)
    outs = []
    for b, h in product(range(request.batch), range(request.heads)):
        group = h * request.kv_heads // request.heads
        parts = all_queries[b][h], all_keys[b][group], all_values[b][group]
        outs.append(_walk(block, *parts, single, _part(mask, b, h), rows))
    out: Tensor = torch.cat(outs).unflatten(0, (request.batch, request.heads)).squeeze(2)
    return out


def block_rows(request: Request) -> int:
    """Return how many queries make a block whose largest temporary is as large as all queries."""
    rows = request.time_q * request.dim // request.time_k
    if _has_feature_axis(request.kernel):
        rows = rows * request.batch * request.heads // request.dim
    return max(LEAST_ROWS, rows)


def _has_feature_axis(kernel: str) -> bool:
    """Whether scores go through a tensor (queries, keys, dim); such blocks are of one head."""
    return kernel in ("linf", "lp")


def _heads(tensor: Tensor) -> list[tuple[Tensor, ...]]:
    """Return (batch, heads, time, dim) as (1, 1, time, dim) of each sequence and head.

    Slices would do; the gradient of each is a tensor as large as the whole, mostly zeros.
    """
    return [sequence[:, None, None].unbind() for sequence in tensor.unbind()]


def _part(mask: Tensor | None, b: int, h: int) -> Tensor | None:
    """Return the part of a padding or of a free mask that belongs to one head of one sequence."""
    if mask is None or mask.ndim == 2:
        return mask if mask is None else mask[b : b + 1]
    b, h = min(b, mask.shape[0] - 1), min(h, mask.shape[1] - 1)
    return mask[b : b + 1, h : h + 1]


def _walk(
    block: Block,
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    request: Request,
    mask: Tensor | None,
    rows: int,
) -> Tensor:
    outs = []
    start = stop = 0
    for part in queries.split(rows, dim=2):
        start, stop = stop, stop + part.shape[2]
        seen = request.time_k
        if request.causal and not request.free_mask:
            seen = max(1, stop + request.time_k - request.time_q)
        visible = _visible(request, mask, start, stop, seen, queries.device)
        arguments = part, keys[:, :, :seen], values[:, :, :seen]
        if request.grad:
            out = checkpoint(
                block,
                *arguments,
                visible,
                request,
                use_reentrant=False,
                preserve_rng_state=request.dropout_p > 0,
            )
        else:
            out = block(*arguments, visible, request)
        outs.append(out)
    return outs[0] if len(outs) == 1 else torch.cat(outs, dim=2)


def _visible(
    request: Request,
    mask: Tensor | None,
    start: int,
    stop: int,
    seen: int,
    device: torch.device,
) -> Tensor | None:
    """Return which of the `seen` first keys the queries from start to stop see; None for all."""
    if mask is not None and mask.ndim == 4:
        return mask[:, :, start:stop]
    visible = None
    shift = request.time_k - request.time_q
    if request.causal and start + shift < seen - 1:
        limits = torch.arange(start, stop, device=device) + shift
        visible = torch.arange(seen, device=device) <= limits[:, None]
    if mask is None:
        return visible
    padding = mask[:, None, None, :seen]
    return padding if visible is None else visible & padding


def _attend_block(
    queries: Tensor, keys: Tensor, values: Tensor, visible: Tensor | None, request: Request
) -> Tensor:
    weights = weigh(block_scores(queries, keys, request), visible).to(values.dtype)
    if request.dropout_p:
        weights = dropout(weights, request.dropout_p)
    return weights @ share_groups(values, request.heads)


def block_scores(queries: Tensor, keys: Tensor, request: Request) -> Tensor:
    """Return the scores of some queries with some keys, (batch, heads, rows, keys)."""
    keys = share_groups(keys, request.heads)
    exponent = _EXPONENTS.get(request.kernel)
    if exponent is None:
        return KERNELS[request.kernel].score(queries, keys, request.p) * request.factor
    distances = exact_distances(queries, keys, exponent)
    return -request.factor * (distances.square() if request.kernel == "sq_l2" else distances)


def _unable(_: Request) -> str | None:
    return None


BACKEND = Backend("chunked", _attend, _unable, takes_mask=True)
