"""Dot-product attention."""

from __future__ import annotations

import math

import pytest
import torch

from infinito.attention import distance_attention
from tests.attention.metrics.metric_contract import MetricContract


class TestDot(MetricContract):
    metric = "dot"

    def score(self, query: list[float], key: list[float]) -> float:
        return sum(q * k for q, k in zip(query, key, strict=True))

    def factor(self, dim: int) -> float:
        return 1 / math.sqrt(dim)


def test_hand_worked() -> None:
    """q = (2, 0), keys (0, 9) and (1, 9), √dim = √2: scores 0 and √2, weights 1 : e^√2.

    Values 0 and 1 give e^1.41421/(1 + e^1.41421) = 4.11325/5.11325 = 0.80443.
    """
    queries = torch.tensor([[[[2.0, 0.0]]]], dtype=torch.float64)
    keys = torch.tensor([[[[0.0, 9.0], [1.0, 9.0]]]], dtype=torch.float64)
    values = torch.tensor([[[[0.0], [1.0]]]], dtype=torch.float64)
    out = distance_attention(queries, keys, values, metric="dot")
    assert out.item() == pytest.approx(0.80443, abs=5e-6)
