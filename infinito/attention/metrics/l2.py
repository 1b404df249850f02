"""Euclidean-distance attention: score = −λ·‖q − k‖₂."""

from __future__ import annotations

import torch
from torch import Tensor

from infinito.attention.precision import widen

KERNEL = "l2"


def score(queries: Tensor, keys: Tensor, _p: float | None = None) -> Tensor:
    """Return −‖q − k‖₂ (…, time_q, time_k) of queries (…, time_q, dim), keys (…, time_k, dim).

    Where q = k the gradient is the subgradient 0, as `torch.linalg.vector_norm` defines it.
    """
    gaps = widen(queries).unsqueeze(-2) - widen(keys).unsqueeze(-3)  # (…, time_q, time_k, dim)
    distance: Tensor = torch.linalg.vector_norm(gaps, dim=-1)
    return -distance


def factor(scale: float | Tensor, _dim: int) -> float | Tensor:
    """Return what the score is multiplied with: λ; the norm grows like √dim by itself."""
    return scale


def fold(queries: Tensor, keys: Tensor, by: float | Tensor) -> tuple[Tensor, Tensor]:
    """Return queries and keys whose score is `by` times as large; the norm is homogeneous."""
    return queries * by, keys * by
