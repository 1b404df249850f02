"""The Matérn kernel by hand, and a Cholesky factor that rounding cannot stop."""

from __future__ import annotations

import math

import numpy as np
import pytest

from infinito.search.surrogate.kernel import cholesky, matern, scale_distance


def test_the_kernel_by_hand() -> None:
    """(1 + r + r²/3)·exp(−r) at r = √5·d/l: 1 at 0, and 7/3·e⁻¹ at 1."""
    found = matern(np.array([0.0, 1.0, 3.0]))
    assert found == pytest.approx([1.0, 7 / 3 / math.e, 7 * math.exp(-3)])


def test_distances_with_and_without_an_order() -> None:
    """Two values without an order are at distance 1, however far their coordinates are."""
    first, second = np.array([0.0, 1.0, 3.0]), np.array([0.0, 3.0, 0.5])
    assert scale_distance(first, second, 2.0, True).tolist() == [0.0, 2.0, 2.5]
    assert scale_distance(first, second, 2.0, False).tolist() == [0.0, 2.0, 2.0]


def test_the_factor_gives_the_kernel_back() -> None:
    points = np.random.default_rng(0).random(12)
    kernel = matern(3 * np.abs(points[:, None] - points))
    factor = cholesky(kernel)
    assert np.allclose(factor @ factor.T, kernel)
    assert not np.triu(factor, 1).any()


def test_equal_points_are_told_apart_by_a_raised_diagonal() -> None:
    """A kernel of rank 1 is singular: its factor is that of the kernel, but for 1e-9 or less."""
    kernel = np.ones((4, 4))
    factor = cholesky(kernel)
    assert np.abs(factor @ factor.T - kernel).max() <= 1e-9


@pytest.mark.parametrize("holes", [(slice(None), slice(None)), (3, 1), (0, 0), (3, 3)])
def test_a_kernel_with_nan_has_no_factor(holes: tuple[int | slice, int | slice]) -> None:
    kernel = np.eye(4) + 0.5
    kernel[holes] = math.nan
    with pytest.raises(AssertionError, match="the kernel holds NaN"):
        cholesky(kernel)
