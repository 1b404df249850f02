"""Dot-product attention, the control: score = λ·q·k/√dim, with λ = 1 the usual one."""

from __future__ import annotations

import math

from torch import Tensor

from infinito.attention.precision import products

KERNEL = "dot"


def score(queries: Tensor, keys: Tensor, _p: float | None = None) -> Tensor:
    """Return q·k (…, time_q, time_k) of queries (…, time_q, dim), keys (…, time_k, dim)."""
    return products(queries, keys)


def factor(scale: float | Tensor, dim: int) -> float | Tensor:
    """Return what the score is multiplied with: λ/√dim."""
    return scale / math.sqrt(dim)


def fold(queries: Tensor, keys: Tensor, by: float | Tensor) -> tuple[Tensor, Tensor]:
    """Return queries and keys whose score is `by` times as large."""
    return queries * by, keys
