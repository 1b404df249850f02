"""Minkowski-distance attention: score = −λ·‖q − k‖ₚ with p ≥ 1 given."""

from __future__ import annotations

import torch
from torch import Tensor

from infinito.attention.precision import widen

KERNEL = "lp"

PLAIN_EXPONENT = 4.0
"""The largest p whose powers of float32 differences are taken as they are.

2⁻²⁴, the smallest difference of numbers near 1, has a p-th power in float32 up to p = 5. Above this
exponent, differences are divided by the largest of their pair first.
"""


def score(queries: Tensor, keys: Tensor, p: float | None = None) -> Tensor:
    """Return −‖q − k‖ₚ (…, time_q, time_k) of queries (…, time_q, dim), keys (…, time_k, dim).

    Where q = k the gradient is the subgradient 0, as `torch.linalg.vector_norm` defines it.
    """
    assert p is not None, "the caller checks that p is given"
    gaps = widen(queries).unsqueeze(-2) - widen(keys).unsqueeze(-3)  # (…, time_q, time_k, dim)
    if p <= PLAIN_EXPONENT:
        distance: Tensor = torch.linalg.vector_norm(gaps, ord=p, dim=-1)
        return -distance
    largest = gaps.detach().abs().amax(-1, keepdim=True)  # (…, time_q, time_k, 1)
    # The norm is homogeneous: divided by any constant and multiplied by it, it keeps its gradient.
    unit = largest.where((largest > 0) & (largest < torch.inf), 1.0)
    distance = torch.linalg.vector_norm(gaps / unit, ord=p, dim=-1) * unit.squeeze(-1)
    return -distance


def factor(scale: float | Tensor, _dim: int) -> float | Tensor:
    """Return what the score is multiplied with: λ."""
    return scale


def fold(queries: Tensor, keys: Tensor, by: float | Tensor) -> tuple[Tensor, Tensor]:
    """Return queries and keys whose score is `by` times as large; the norm is homogeneous."""
    return queries * by, keys * by
