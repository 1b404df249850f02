"""Minkowski-distance attention."""

from __future__ import annotations

import pytest
import torch

from infinito.attention import distance_attention, reference_attention
from infinito.errors import ConfigError
from tests.attention.metrics.metric_case import close
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


class TestLpOfALargeExponent(TestLp):
    p = 9.0


@pytest.mark.parametrize("time", [1, 9], ids=["decoding", "tiles"])
@pytest.mark.parametrize("size", [1e-8, 1e-4, 1.0, 1e6])
@pytest.mark.parametrize("p", [4.5, 8.0, 40.0])
def test_powers_that_leave_the_range_of_floats(p: float, size: float, time: int) -> None:
    """(1e-4)⁴⁰ is 0 in float32 and (1e6)⁸ infinite; the distance and its gradient are neither.

    λ = 1/size, so that the weights, and what the gradient is of λ = 1, are the same at any size.
    """
    torch.manual_seed(0)
    exact = [torch.randn(1, 2, n, 16, dtype=torch.float64) for n in (time, 9, 9)]
    leaves = [x.requires_grad_() for x in exact]
    gaps = leaves[0].unsqueeze(-2) - leaves[1].unsqueeze(-3)
    scores = -gaps.abs().pow(p).sum(-1).pow(1 / p)
    expected = scores.softmax(-1) @ leaves[2]
    wanted = torch.autograd.grad(expected.square().sum(), leaves)
    for backend in ("fused_cpu", "chunked", "reference"):
        small = [x.detach().float() for x in exact]
        small = [small[0] * size, small[1] * size, small[2]]
        tensors = [x.requires_grad_() for x in small]
        out = distance_attention(
            *tensors, metric="lp", p=p, scale=1 / size, causal=False, backend=backend
        )
        close(out, expected, 1e-5, backend)
        found = torch.autograd.grad(out.square().sum(), tensors)
        for got, want, unit in zip(found, wanted, (size, size, 1.0), strict=True):
            close(got * unit, want, 1e-4, f"{backend}, gradient")


def test_cdist_serves_no_large_exponent() -> None:
    tensors = torch.zeros(3, 1, 1, 4, 8)
    with pytest.raises(ConfigError, match=r"its powers leave the range of floats above p=4"):
        distance_attention(*tensors, metric="lp", p=8.0, backend="cdist")


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
