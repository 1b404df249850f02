"""Distances that do not cancel where queries are near keys."""

from __future__ import annotations

import pytest
import torch

from infinito.attention.exact_distances import exact_distances
from infinito.errors import ConfigError


@pytest.mark.parametrize("p", [1.0, 2.0])
def test_near_points_keep_their_digits(p: float) -> None:
    """Points 1/1024 apart at 1000: ‖q‖² + ‖k‖² − 2 q·k would be 0 in float32."""
    queries = torch.full((1, 30, 4), 1000.0)
    keys = queries.clone()
    keys[..., 0] += 2**-10
    found = exact_distances(queries, keys, p)
    assert torch.equal(found, torch.full((1, 30, 30), 2**-10))


def test_half_precision_is_widened_also_inside_autocast() -> None:
    queries, keys = torch.randn(2, 1, 5, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = exact_distances(queries, keys, 1.0)
    assert found.dtype == torch.float32
    assert torch.equal(found, exact_distances(queries.float(), keys.float(), 1.0))


def test_its_gradient_is_not_differentiated() -> None:
    queries = torch.randn(1, 5, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    total = exact_distances(queries, torch.zeros(1, 5, 8), 1.0).square().sum()
    (slope,) = torch.autograd.grad(total, queries, create_graph=True)
    with pytest.raises(ConfigError, match=r"Use `attention\.backend=reference`, which has all"):
        slope.sum().backward()
