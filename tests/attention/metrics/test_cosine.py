"""Cosine attention."""

from __future__ import annotations

import math

import pytest
import torch

from infinito.attention import distance_attention
from infinito.attention.metrics.cosine import unit
from tests.attention.metrics.metric_contract import MetricContract


class TestCosine(MetricContract):
    metric = "cosine"

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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_unit_vectors(dtype: torch.dtype) -> None:
    """A zero vector stays zero, also where 1e-12 is no number of the type; large ones do not flow
    over: (3, 4) · 10⁴ has length 5 · 10⁴, whose square no float16 holds.
    """
    vectors = torch.tensor([[0.0, 0.0], [30000.0, 40000.0], [3e-4, -4e-4]], dtype=dtype)
    expected = torch.tensor([[0.0, 0.0], [0.6, 0.8], [0.6, -0.8]], dtype=dtype)
    torch.testing.assert_close(unit(vectors), expected, atol=2e-3, rtol=5e-3)
