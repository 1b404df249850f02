"""The route of sq_l2 through the scaled dot product."""

from __future__ import annotations

import pytest
import torch

from infinito.attention import distance_attention, reference_attention
from infinito.attention.backends.sdpa import as_dot_product


def test_twice_the_dot_product_is_the_squared_distance_but_for_the_row() -> None:
    queries, keys = torch.randn(2, 1, 2, 5, 8, dtype=torch.float64)
    wide_queries, wide_keys = as_dot_product(queries, keys, torch.float64)
    assert wide_queries.shape == wide_keys.shape == (1, 2, 5, 9)
    scores = 2 * wide_queries @ wide_keys.mT
    distances = torch.cdist(queries, keys) ** 2
    rest = scores + distances
    torch.testing.assert_close(rest, rest[..., :1].expand_as(rest))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_two_columns_hold_the_norm_of_half_precision_keys(dtype: torch.dtype) -> None:
    """One column of ‖k‖²/2 ≈ 128 would be wrong by more than 2⁻⁵; two are by less than 2⁻⁷."""
    torch.manual_seed(0)
    keys = (4 * torch.randn(1, 1, 50, 16)).to(dtype)
    keys[:, :, 0] = 0
    _, wide = as_dot_product(keys, keys, dtype)
    assert wide.shape[-1] == 18
    exact = -0.5 * keys.double().square().sum(-1)
    columns = wide[..., 16:].double()
    assert (columns.sum(-1) - exact).abs().max() < 2**-7
    assert (columns[..., 0] - exact).abs().max() > 2**-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_shared_offset_cancels(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    tensors = tuple((torch.randn(2, 2, 33, 16) + offset).to(dtype) for offset in (100, 100, 0))
    exact, _ = reference_attention(*(x.double() for x in tensors), metric="sq_l2")
    out = distance_attention(*tensors, metric="sq_l2", backend="sdpa")
    tolerance = 1e-4 if dtype == torch.float32 else 0.02
    assert (out.double() - exact).abs().max() < tolerance


def test_autocast_leaves_the_norm_of_float32_keys_in_two_columns() -> None:
    """As exact as inputs that are bfloat16 already (0.004); one column is wrong by 0.013."""
    torch.manual_seed(0)
    queries, keys, values = torch.randn(3, 2, 2, 96, 64)
    tensors = 3 * queries, 3 * keys, values
    exact, _ = reference_attention(*(x.double() for x in tensors), metric="sq_l2")
    with torch.autocast("cpu", torch.bfloat16):
        out = distance_attention(*tensors, metric="sq_l2", backend="sdpa")
    assert out.dtype == torch.bfloat16
    assert (out.double() - exact).abs().mean() < 0.006


def test_wider_values_than_keys() -> None:
    torch.manual_seed(0)
    queries, keys = torch.randn(2, 1, 2, 5, 4, dtype=torch.float64)
    values = torch.randn(1, 2, 5, 11, dtype=torch.float64)
    for metric in ("dot", "sq_l2", "cosine"):
        expected, _ = reference_attention(queries, keys, values, metric=metric)
        out = distance_attention(queries, keys, values, metric=metric, backend="sdpa")
        torch.testing.assert_close(out, expected)
