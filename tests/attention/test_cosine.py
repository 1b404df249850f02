"""Cosine attention."""

from __future__ import annotations

import math

import pytest
import torch
from metric_contract import MetricContract

from infinito.attention import distance_attention


class TestCosine(MetricContract):
    metric = "cosine"
    translation_invariant = False

    def score(self, query: list[float], key: list[float]) -> float:
        norms = math.hypot(*query) * math.hypot(*key)
        return sum(q * k for q, k in zip(query, key, strict=True)) / norms

    def factor(self, dim: int) -> float:  # noqa: ARG002
        return 1.0


def test_hand_worked() -> None:
    """q = (0, 7), keys (0, 2) and (3, 4): cosines 1 and 0.8, λ = 5, scores 5 and 4, weights e : 1.

    Values 0 and 1 give 1/(1 + e) = 0.268941.
    """
    queries = torch.tensor([[[[0.0, 7.0]]]], dtype=torch.float64)
    keys = torch.tensor([[[[0.0, 2.0], [3.0, 4.0]]]], dtype=torch.float64)
    values = torch.tensor([[[[0.0], [1.0]]]], dtype=torch.float64)
    out = distance_attention(queries, keys, values, metric="cosine", scale=5.0)
    assert out.item() == pytest.approx(0.268941, abs=5e-7)
