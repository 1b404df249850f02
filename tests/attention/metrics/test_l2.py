"""Euclidean-distance attention."""

from __future__ import annotations

import math

import pytest
import torch

from infinito.attention import distance_attention
from tests.attention.metrics.metric_contract import DistanceContract


class TestL2(DistanceContract):
    metric = "l2"

    def score(self, query: list[float], key: list[float]) -> float:
        return -math.dist(query, key)

    def factor(self, dim: int) -> float:  # noqa: ARG002
        return 1.0


def test_hand_worked() -> None:
    """q = 0, keys (3, 4) and (0, 4): distances 5 and 4, λ = 1, weights 1 : e.

    Values 0 and 1 give e/(1 + e) = 0.731059.
    """
    queries = torch.zeros(1, 1, 1, 2, dtype=torch.float64)
    keys = torch.tensor([[[[3.0, 4.0], [0.0, 4.0]]]], dtype=torch.float64)
    values = torch.tensor([[[[0.0], [1.0]]]], dtype=torch.float64)
    out = distance_attention(queries, keys, values, metric="l2")
    assert out.item() == pytest.approx(0.731059, abs=5e-7)
