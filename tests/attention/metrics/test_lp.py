"""Minkowski-distance attention."""

from __future__ import annotations

import pytest
import torch

from infinito.attention import distance_attention, reference_attention
from tests.attention.metrics.metric_contract import DistanceContract


class TestLp(DistanceContract):
    metric = "lp"
    p = 3.0

    def score(self, query: list[float], key: list[float]) -> float:
        assert self.p is not None
        powers = sum(abs(q - k) ** self.p for q, k in zip(query, key, strict=True))
        return -(powers ** (1 / self.p))

    def factor(self, dim: int) -> float:  # noqa: ARG002
        return 1.0


class TestLpBelowTwo(TestLp):
    p = 1.5


def test_hand_worked() -> None:
    """q = 0, keys (3, 4, 5) and (5, 0, 0): ∛(27 + 64 + 125) = 6 and 5, λ = 1, weights 1 : e.

    Values 0 and 1 give e/(1 + e) = 0.731059.
    """
    queries = torch.zeros(1, 1, 1, 3, dtype=torch.float64)
    keys = torch.tensor([[[[3.0, 4.0, 5.0], [5.0, 0.0, 0.0]]]], dtype=torch.float64)
    values = torch.tensor([[[[0.0], [1.0]]]], dtype=torch.float64)
    out = distance_attention(queries, keys, values, metric="lp", p=3.0)
    assert out.item() == pytest.approx(0.731059, abs=5e-7)


@pytest.mark.parametrize(("p", "metric"), [(1.0, "l1"), (2.0, "l2")])
def test_known_exponents(p: float, metric: str) -> None:
    """p = 1 is l1 but for its 1/√dim (here 1/3), p = 2 is l2."""
    torch.manual_seed(0)
    queries, keys, values = torch.randn(3, 1, 2, 5, 9, dtype=torch.float64)
    scale = 1 / 3 if metric == "l1" else 1.0
    out = distance_attention(queries, keys, values, metric="lp", p=p, scale=scale)
    expected, _ = reference_attention(queries, keys, values, metric=metric)
    torch.testing.assert_close(out, expected)
