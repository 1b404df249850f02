"""Squared Euclidean-distance attention."""

from __future__ import annotations

import math

import pytest
import torch

from infinito.attention import distance_attention
from tests.attention.metrics.metric_contract import DistanceContract


class TestSqL2(DistanceContract):
    metric = "sq_l2"
    outlier = 10.0  # squared; torch's backward rounds scores of ten thousands in their last digits

    def score(self, query: list[float], key: list[float]) -> float:
        return -(math.dist(query, key) ** 2)

    def factor(self, dim: int) -> float:
        return 1 / math.sqrt(dim)


def test_hand_worked() -> None:
    """q = 0 in 4 features, keys at squared distance 1 + 1 = 2 and 4, λ = 3, √dim = 2.

    Scores −3 and −6, weights e³ : 1, so values 0 and 1 give 1/(1 + e³) = 0.047426.
    """
    queries = torch.zeros(1, 1, 1, 4, dtype=torch.float64)
    keys = torch.tensor([[[[1.0, 1, 0, 0], [0, 0, 2, 0]]]], dtype=torch.float64)
    values = torch.tensor([[[[0.0], [1.0]]]], dtype=torch.float64)
    out = distance_attention(queries, keys, values, metric="sq_l2", scale=3.0)
    assert out.item() == pytest.approx(0.047426, abs=5e-7)
