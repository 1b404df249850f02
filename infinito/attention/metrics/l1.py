"""Manhattan-distance attention: score = −λ·‖q − k‖₁/√dim."""

from __future__ import annotations

import math

from torch import Tensor

from infinito.attention.precision import widen

KERNEL = "l1"


def score(queries: Tensor, keys: Tensor, _p: float | None = None) -> Tensor:
    """Return −‖q − k‖₁ (…, time_q, time_k) of queries (…, time_q, dim), keys (…, time_k, dim)."""
    return -(widen(queries).unsqueeze(-2) - widen(keys).unsqueeze(-3)).abs().sum(-1)


def factor(scale: float | Tensor, dim: int) -> float | Tensor:
    """Return what the score is multiplied with: λ/√dim."""
    return scale / math.sqrt(dim)


def fold(queries: Tensor, keys: Tensor, by: float | Tensor) -> tuple[Tensor, Tensor]:
    """Return queries and keys whose score is `by` times as large; the norm is homogeneous."""
    return queries * by, keys * by
