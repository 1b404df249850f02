"""The ways to compute attention that are compared, and the shapes they are compared on."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from infinito.attention import distance_attention
from infinito.attention.reference import reference_attention

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]

YARDSTICK = "torch SDPA dot"
SHAPES = ((8, 4, 256, 64), (4, 8, 512, 64), (1, 8, 2048, 64))
"""(batch, heads, time, dim)."""

GOALS = {
    "fused_cpu l1": (0.60, 0.52, 0.78),
    "fused_cpu dot": (0.55, 0.50, 0.72),
    "fused_cpu sq_l2": (0.55, 0.50, 0.72),
    "fused_cpu cosine": (0.55, 0.50, 0.72),
    "sdpa sq_l2": (None, 1.30, None),
    "sdpa cosine": (None, 1.30, None),
    "chunked l1": (None, 5.5, None),
}
"""Wanted ratios to the yardstick, forward and backward, per shape."""


def contestants(shape: tuple[int, ...]) -> dict[str, Attend]:
    """Return what is timed on a shape; the slowest forms only on the smallest."""
    found: dict[str, Attend] = {YARDSTICK: yardstick}
    for metric in ("l1", "dot", "sq_l2", "cosine", "l2", "linf", "lp"):
        found[f"fused_cpu {metric}"] = backend("fused_cpu", metric)
    for metric in ("sq_l2", "cosine"):
        found[f"sdpa {metric}"] = backend("sdpa", metric)
    for metric in ("l1", "dot", "sq_l2", "cosine", "l2"):
        found[f"chunked {metric}"] = backend("chunked", metric)
    for metric in ("l1", "l2"):
        found[f"cdist {metric}"] = backend("cdist", metric)
    batch, heads, time, dim = shape
    if batch * heads * time * time * dim * 4 < 2**30:
        for metric in ("linf", "lp"):
            found[f"chunked {metric}"] = backend("chunked", metric)
        found["cdist lp"] = backend("cdist", "lp")
        found["naive l1"] = naive
        found["torch.compile(naive) l1"] = torch.compile(naive)
    return found


def yardstick(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Compute dot-product attention as torch has it: its flash kernel on the CPU."""
    return scaled_dot_product_attention(queries, keys, values, is_causal=True)


def naive(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Compute l1 attention by the obvious broadcast."""
    return reference_attention(queries, keys, values, metric="l1")[0]


def backend(name: str, metric: str) -> Attend:
    """Return distance attention with a metric through a backend."""
    return partial(distance_attention, metric=metric, p=exponent(metric), backend=name)


def exponent(metric: str) -> float | None:
    """Return the p of lp."""
    return 1.5 if metric == "lp" else None
