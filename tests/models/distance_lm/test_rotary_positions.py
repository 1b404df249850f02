"""Rotary positions."""

from __future__ import annotations

import math

import pytest
import torch

from infinito.models.distance_lm.rotary_positions import RotaryPositions, rotate, rotations


def test_hand_worked() -> None:
    """Position 3, 4 features, base 100: speeds 1 and 1/10, so angles 3 and 0.3 rad.

    (1, 0) turned by 3 is (cos 3, sin 3); (0, 2) turned by 0.3 is (−2 sin 0.3, 2 cos 0.3).
    """
    rotation = rotations(torch.tensor([3]), 4, 100.0)[None, :, None]
    features = torch.tensor([1.0, 0.0, 0.0, 2.0]).view(1, 1, 1, 4)
    turned = rotate(features, rotation).flatten().tolist()
    expected = [math.cos(3), math.sin(3), -2 * math.sin(0.3), 2 * math.cos(0.3)]
    assert turned == pytest.approx(expected, abs=1e-6)


def test_lengths_stay_and_products_depend_on_the_distance_only() -> None:
    torch.manual_seed(0)
    queries, keys = torch.randn(2, 1, 1, 2, 16).expand(2, 1, 30, 2, 16)
    rotation = rotations(torch.arange(30), 16, 100.0)[None, :, None]
    queries, keys = rotate(queries, rotation), rotate(keys, rotation)
    torch.testing.assert_close(queries.norm(dim=-1), queries[:, :1].norm(dim=-1).expand(1, 30, 2))
    products = torch.einsum("bqhd,bkhd->bhqk", queries, keys)
    torch.testing.assert_close(products[..., 1:, 1:], products[..., :-1, :-1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.bfloat16, 0.02)])
def test_the_complex_form_is_the_real_one(dtype: torch.dtype, tolerance: float) -> None:
    """float32 turns by a complex product, other types by sines and cosines."""
    features = torch.randn(2, 7, 3, 8)
    rotation = rotations(torch.arange(7), 8, 100.0)[None, :, None]
    real = rotate(features.to(dtype), rotation)
    assert real.dtype == dtype
    torch.testing.assert_close(
        real.float(), rotate(features, rotation), atol=tolerance, rtol=tolerance
    )


def test_beyond_the_table_and_at_given_positions() -> None:
    positions = RotaryPositions(8, 4, 100.0)
    longer = RotaryPositions(8, 16, 100.0)
    hidden = torch.zeros(1, 3, 8)
    for start in (0, 1, 2, 9):
        same, rotation = positions(hidden, None, start)
        assert same is hidden
        ids = torch.arange(start, start + 3)[None]
        torch.testing.assert_close(rotation, longer(hidden, None, start)[1])
        torch.testing.assert_close(rotation, positions(hidden, ids, 0)[1])
