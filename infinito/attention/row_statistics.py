"""Statistics of each row of attention without its weights, in memory linear in time.

`weight_statistics` computes the same means from the weights of a layer.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from infinito.attention.backends import chunked, fused_cpu
from infinito.attention.backends.backend import Request
from infinito.attention.backends.kernel_call import run_kernel
from infinito.attention.functional import describe, prepare
from infinito.attention.metrics.table import find_metric
from infinito.attention.reference import weigh
from infinito.attention.watching import AttentionCall


class RowStatistics(NamedTuple):
    """Of each query's attention, float32 (batch, heads, time_q).

    A query that sees no key has −inf for `log_sum_exp` and 0 for the others.
    """

    log_sum_exp: Tensor
    """log Σ exp(score), in nats."""
    entropy: Tensor
    """Of the weights, in nats: 0 for one key, log n for n keys weighted alike."""
    mean: Tensor
    """The mean weight of a visible key, which is 1 over their number."""
    largest: Tensor
    """The largest weight."""

    def means(self) -> dict[str, float]:
        """Return the means over rows that `attention_statistics` returns of whole weights."""
        keys = self.mean.reciprocal().round()
        seeing, several = self.mean > 0, (self.mean > 0) & (keys > 1)
        return {
            "entropy_nats": self.entropy[seeing].mean().item(),
            "entropy": (self.entropy[several] / keys[several].log()).mean().item(),
            "mean": self.mean[seeing].mean().item(),
            "max": self.largest[seeing].mean().item(),
        }


@torch.no_grad()
def row_statistics(
    queries: Tensor,
    keys: Tensor,
    *,
    metric: str,
    scale: float | Tensor = 1.0,
    p: float | None = None,
    causal: bool = True,
    key_padding: Tensor | None = None,
) -> RowStatistics:
    """Return the statistics of every row; arguments as in `distance_attention`, no gradient.

    Raises:
        ConfigError: metric or p unknown.
        ValueError: shapes that do not fit together.
    """
    queries, keys, _, factor = prepare(queries, keys, keys, metric, scale, p)
    kernel = find_metric(metric, p).KERNEL
    return call_statistics(AttentionCall(queries, keys, kernel, factor, p, causal, key_padding))


@torch.no_grad()
def call_statistics(call: AttentionCall) -> RowStatistics:
    """Return the statistics of every row of a recorded attention call."""
    queries, keys, kernel, factor, p, causal, visible = call
    # Statistics need no values: one of width 1 stands in for them.
    values = keys.new_zeros(1).expand(*keys.shape[:3], 1)
    request = describe(queries, keys, values, kernel, factor, p, causal, 0.0, visible)
    if fused_cpu.BACKEND.obstacle(request) is None:
        return _fused(queries, keys, values, request, visible)
    four = chunked.in_blocks(_summarise, queries, keys, values, request, visible)
    return RowStatistics(*four.float().unbind(-1))


def _fused(
    queries: Tensor, keys: Tensor, values: Tensor, request: Request, padding: Tensor | None
) -> RowStatistics:
    tensors = {
        "queries": queries.float().contiguous(),
        "keys": keys.float().contiguous(),
        "values": values.float(),
        "out": torch.empty(*queries.shape[:3], 1),
        "softmax": torch.empty(*queries.shape[:3], 2),
        "statistics": torch.empty(*queries.shape[:3], 2),
    }
    if padding is not None:
        tensors["padding"] = padding.contiguous()
    run_kernel(
        "forward",
        tensors,
        kernel=request.kernel,
        causal=request.causal,
        factor=request.factor,
        p=request.p,
    )
    reference, total = tensors["softmax"].unbind(-1)
    weighted, best = tensors["statistics"].unbind(-1)
    log_sum_exp = (reference + total.log2()) * math.log(2)
    seen = total != 0  # a row with NaN sees keys
    return RowStatistics(
        log_sum_exp,
        (log_sum_exp - weighted / total * math.log(2)).where(seen, 0.0).clamp_min(0.0),
        _seen_keys(request, padding).reciprocal().where(seen, 0.0),
        ((best - reference).exp2() / total).where(seen, 0.0),
    )


def _seen_keys(request: Request, padding: Tensor | None) -> Tensor:
    """Return how many keys each query sees, float32 (batch or 1, 1, time_q)."""
    real = torch.ones(1, request.time_k) if padding is None else padding.float()
    if not request.causal:
        return real.sum(-1)[:, None, None].expand(-1, 1, request.time_q)
    limits = torch.arange(request.time_q) + request.time_k - request.time_q
    return torch.where(limits >= 0, real.cumsum(-1)[:, None, limits.clamp_min(0)], 0.0)


def _summarise(
    queries: Tensor, keys: Tensor, _: Tensor, visible: Tensor | None, request: Request
) -> Tensor:
    """Return the four statistics of a block's rows, (batch, heads, rows, 4)."""
    scores = chunked.block_scores(queries, keys, request)
    if visible is None:
        visible = torch.ones((), dtype=torch.bool, device=scores.device)
    count = visible.expand(scores.shape).sum(-1)
    log_sum_exp = scores.masked_fill(~visible, -math.inf).logsumexp(-1)
    weights = weigh(scores, visible.expand(scores.shape))
    return torch.stack(
        [
            log_sum_exp,
            torch.special.entr(weights).sum(-1),
            count.to(scores.dtype).reciprocal().where(count > 0, 0.0),
            weights.amax(-1),
        ],
        dim=-1,
    )
