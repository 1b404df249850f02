"""Chebyshev-distance attention: score = −λ·‖q − k‖∞."""

from __future__ import annotations

from torch import Tensor

from infinito.attention.precision import widen

KERNEL = "linf"


def score(queries: Tensor, keys: Tensor, _p: float | None = None) -> Tensor:
    """Return −‖q − k‖∞ (…, time_q, time_k) of queries (…, time_q, dim), keys (…, time_k, dim).

    Features that tie for the maximum share its gradient equally, as `torch.amax` defines it.
    """
    return -(widen(queries).unsqueeze(-2) - widen(keys).unsqueeze(-3)).abs().amax(-1)


def factor(scale: float | Tensor, _dim: int) -> float | Tensor:
    """Return what the score is multiplied with: λ."""
    return scale


def fold(queries: Tensor, keys: Tensor, by: float | Tensor) -> tuple[Tensor, Tensor]:
    """Return queries and keys whose score is `by` times as large; the norm is homogeneous."""
    return queries * by, keys * by
