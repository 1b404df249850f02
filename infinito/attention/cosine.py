"""Cosine attention: score = λ·cos(q, k)."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import normalize

from infinito.attention.precision import widen

KERNEL = "dot"


def score(queries: Tensor, keys: Tensor, _p: float | None = None) -> Tensor:
    """Return cos(q, k), (…, time_q, time_k), of queries (…, time_q, dim) and keys (…, time_k, dim).

    A zero vector has cosine 0 with every other.
    """
    return normalize(widen(queries), dim=-1) @ normalize(widen(keys), dim=-1).transpose(-2, -1)


def factor(scale: float | Tensor, _dim: int) -> float | Tensor:
    """Return what the score is multiplied with: λ."""
    return scale


def prepare(queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """Return queries and keys of which the plain dot product is the cosine."""
    return normalize(queries, dim=-1), normalize(keys, dim=-1)
