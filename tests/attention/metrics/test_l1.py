"""Manhattan-distance attention."""

from __future__ import annotations

import math

import pytest
import torch

from infinito.attention import distance_attention
from tests.attention.metrics.metric_contract import DistanceContract


class TestL1(DistanceContract):
    metric = "l1"

    def score(self, query: list[float], key: list[float]) -> float:
        return -sum(abs(q - k) for q, k in zip(query, key, strict=True))

    def factor(self, dim: int) -> float:
        return 1 / math.sqrt(dim)


def test_hand_worked() -> None:
    """q = 0 in 4 features, keys at distance 3 + 1 = 4 and 1 + 1 = 2, λ = 2, √dim = 2.

    Scores −4 and −2, weights 1 : e², so values 0 and 1 give e²/(1 + e²) = 0.880797.
    """
    queries = torch.zeros(1, 1, 1, 4, dtype=torch.float64)
    keys = torch.tensor([[[[3.0, -1, 0, 0], [0, 1, 0, -1]]]], dtype=torch.float64)
    values = torch.tensor([[[[0.0], [1.0]]]], dtype=torch.float64)
    out = distance_attention(queries, keys, values, metric="l1", scale=2.0)
    assert out.item() == pytest.approx(0.880797, abs=5e-7)
