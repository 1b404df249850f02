"""Scores are computed in float32 at least."""

from __future__ import annotations

import pytest
import torch

from infinito.attention.precision import products, widen


@pytest.mark.parametrize(
    ("dtype", "wide"),
    [
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_half_precision_alone_is_widened(dtype: torch.dtype, wide: torch.dtype) -> None:
    numbers = torch.ones(2, dtype=dtype)
    assert widen(numbers).dtype == wide
    assert (widen(numbers) is numbers) == (dtype == wide)


def test_products_keep_what_bfloat16_would_round() -> None:
    """1·1 + 2⁻⁹·1: bfloat16, with 8 bits, would return 1, also inside autocast."""
    queries = torch.tensor([[1.0, 2**-9]], dtype=torch.bfloat16)
    keys = torch.ones(1, 2, dtype=torch.bfloat16)
    assert products(queries, keys).item() == 1 + 2**-9
    with torch.autocast("cpu", torch.bfloat16):
        assert products(queries.float(), keys.float()).item() == 1 + 2**-9
