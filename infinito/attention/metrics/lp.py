"""Minkowski-distance attention: score = −λ·‖q − k‖ₚ with p ≥ 1 given."""

from __future__ import annotations

import torch
from torch import Tensor

from infinito.attention.precision import widen

KERNEL = "lp"


def score(queries: Tensor, keys: Tensor, p: float | None = None) -> Tensor:
    """Return −‖q − k‖ₚ (…, time_q, time_k) of queries (…, time_q, dim), keys (…, time_k, dim).

    Where q = k the gradient is the subgradient 0, as `torch.linalg.vector_norm` defines it.
    """
    assert p is not None, "the caller checks that p is given"
    return -torch.linalg.vector_norm(
        widen(queries).unsqueeze(-2) - widen(keys).unsqueeze(-3), ord=p, dim=-1
    )


def factor(scale: float | Tensor, _dim: int) -> float | Tensor:
    """Return what the score is multiplied with: λ."""
    return scale


def fold(queries: Tensor, keys: Tensor, by: float | Tensor) -> tuple[Tensor, Tensor]:
    """Return queries and keys whose score is `by` times as large; the norm is homogeneous."""
    return queries * by, keys * by
