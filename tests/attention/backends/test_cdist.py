"""The route through torch.cdist beyond the contract: half precision and autocast."""

from __future__ import annotations

import pytest
import torch

from infinito.attention import Request, distance_attention, reference_attention
from infinito.attention.backends.cdist import BACKEND


@pytest.mark.parametrize("metric", ["l1", "l2"])
def test_half_precision_is_computed_in_float32(metric: str) -> None:
    """Also under autocast, which would otherwise hand bfloat16 on."""
    torch.manual_seed(0)
    tensors = tuple(torch.randn(1, 2, 9, 8).bfloat16() for _ in range(3))
    exact, _ = reference_attention(*(x.double() for x in tensors), metric=metric)
    with torch.autocast("cpu", torch.bfloat16):
        out = distance_attention(*tensors, metric=metric, backend="cdist")
    assert out.dtype == torch.bfloat16
    assert (out.double() - exact).abs().max() < 0.01


def test_linf_is_refused_for_its_gradient_at_ties() -> None:
    assert BACKEND.obstacle(Request("linf")) == "it has l1, l2 and lp, not linf"


def test_auto_takes_it_for_short_sequences_only() -> None:
    assert BACKEND.unwise(Request("l1", time_k=128, dim=64)) is None
    assert BACKEND.unwise(Request("l1", time_k=129, dim=64)) == "it is for up to 128 keys"
    assert BACKEND.unwise(Request("lp", time_k=65, dim=64)) == "it is for up to 64 keys"
