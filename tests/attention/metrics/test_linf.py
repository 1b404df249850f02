"""Chebyshev-distance attention."""

from __future__ import annotations

import pytest
import torch

from infinito.attention import distance_attention
from infinito.attention.metrics.linf import score
from tests.attention.metrics.metric_contract import DistanceContract


class TestLinf(DistanceContract):
    metric = "linf"

    def score(self, query: list[float], key: list[float]) -> float:
        return -max(abs(q - k) for q, k in zip(query, key, strict=True))

    def factor(self, dim: int) -> float:  # noqa: ARG002
        return 1.0


def test_hand_worked() -> None:
    """q = 0, keys (2, −1) and (1, 1): distances 2 and 1, λ = 2, weights 1 : e².

    Values 0 and 1 give e²/(1 + e²) = 0.880797.
    """
    queries = torch.zeros(1, 1, 1, 2, dtype=torch.float64)
    keys = torch.tensor([[[[2.0, -1.0], [1.0, 1.0]]]], dtype=torch.float64)
    values = torch.tensor([[[[0.0], [1.0]]]], dtype=torch.float64)
    out = distance_attention(queries, keys, values, metric="linf", scale=2.0)
    assert out.item() == pytest.approx(0.880797, abs=5e-7)


def test_ties_share_the_gradient() -> None:
    queries = torch.tensor([[3.0, -3.0, 1.0]], requires_grad=True)
    score(queries, torch.zeros(1, 3)).sum().backward()
    assert queries.grad is not None
    assert queries.grad.tolist() == [[-0.5, 0.5, 0.0]]
