"""Cosine attention: score = λ·cos(q, k)."""

from __future__ import annotations

import torch
from torch import Tensor

from infinito.attention.precision import products, widen

KERNEL = "dot"


def unit(vectors: Tensor) -> Tensor:
    """Return vectors (…, dim) at length 1, zero vectors unchanged; scaled in float32 at least.

    `torch.nn.functional.normalize` does the same, with a gradient that takes four times as long.
    """
    wide = widen(vectors)
    length: Tensor = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
    scaled = wide / length.clamp_min(1e-12)
    return scaled if wide is vectors else scaled.to(vectors.dtype)


def score(queries: Tensor, keys: Tensor, _p: float | None = None) -> Tensor:
    """Return cos(q, k) (…, time_q, time_k) of queries (…, time_q, dim), keys (…, time_k, dim).

    A zero vector has cosine 0 with every other.
    """
    return products(unit(widen(queries)), unit(widen(keys)))


def factor(scale: float | Tensor, _dim: int) -> float | Tensor:
    """Return what the score is multiplied with: λ."""
    return scale


def prepare(queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """Return queries and keys of which the plain dot product is the cosine."""
    return unit(queries), unit(keys)
