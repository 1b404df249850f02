"""Intervals and tests, worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from infinito.statistics import (
    cluster_bootstrap,
    mean_interval,
    paired_difference,
    welch_test,
    wilson_interval,
)


def test_mean_interval_by_hand() -> None:
    """1, 2, 3: mean 2, standard error 1/√3, t(0.975, 2) = 4.302653: half-width 2.484138."""
    found = mean_interval([1.0, 2.0, 3.0])
    assert found.mean == 2.0
    assert found.half_width == pytest.approx(2.484138, abs=1e-6)
    assert found.low == pytest.approx(2 - 2.484138, abs=1e-6)


def test_one_value_has_no_interval() -> None:
    found = mean_interval([7.0])
    assert found.mean == 7.0
    assert math.isnan(found.low)
    assert math.isnan(found.half_width)


def test_paired_difference_by_hand() -> None:
    """Differences 1, 2, 3: t = 2·√3 = 3.464, two-sided p at 2 degrees 0.074180."""
    found = paired_difference([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    assert found.difference.mean == 2.0
    assert found.difference.half_width == pytest.approx(2.484138, abs=1e-6)
    assert found.p_value == pytest.approx(0.074180, abs=1e-6)


def test_pairing_removes_what_pairs_have_in_common() -> None:
    """Differences of 0.9 to 1.1 between values that spread over a hundred."""
    first, second = [1.0, 51.1, 100.9], [0.0, 50.0, 100.0]
    assert paired_difference(first, second, "greater").p_value < 0.01
    assert welch_test(first, second, "greater").p_value > 0.4


def test_welch_by_hand() -> None:
    """Means 2 and 6, squared errors 1/3 and 4/3: t = −4/√(5/3), ν = (5/3)²/(1/18 + 16/18) = 2.941.

    t(0.975, 2.941) = 3.218758, so the half-width is √(5/3)·3.218758 = 4.155400.
    """
    found = welch_test([1.0, 2.0, 3.0], [4.0, 6.0, 8.0])
    assert found.difference.mean == -4.0
    assert found.difference.half_width == pytest.approx(4.155400, abs=1e-6)
    assert found.p_value == pytest.approx(0.054787, abs=1e-6)


def test_the_alternative_says_which_side_counts() -> None:
    low, high = [1.0, 2.0, 3.0], [4.0, 6.0, 8.0]
    both = welch_test(low, high).p_value
    assert welch_test(low, high, "less").p_value == pytest.approx(both / 2)
    assert welch_test(low, high, "greater").p_value == pytest.approx(1 - both / 2)
    assert welch_test(high, low, "less").p_value == pytest.approx(1 - both / 2)


@pytest.mark.parametrize("test", [welch_test, paired_difference])
@pytest.mark.parametrize(
    ("alternative", "below", "equal", "above"),
    [("less", 0.0, 1.0, 1.0), ("greater", 1.0, 1.0, 0.0), ("two-sided", 0.0, 1.0, 0.0)],
)
def test_values_without_spread_decide_by_their_difference(
    test: object, alternative: str, below: float, equal: float, above: float
) -> None:
    for value, expected in ((-1.0, below), (0.0, equal), (1.0, above)):
        found = test([value] * 3, [0.0] * 3, alternative)  # type: ignore[operator]
        assert found.p_value == expected
        assert found.difference.mean == value


def test_wilson_by_hand() -> None:
    """2½ of 4, z² = 3.8415: (0.625 + 0.4802 ± 1.96·√(0.0586 + 0.0600)) / 1.9604."""
    found = wilson_interval(np.array([1, 1, 0.5, 0]))
    assert found.mean == 0.625
    assert found.low == pytest.approx((0.625 + 0.4802 - 1.96 * 0.34442) / 1.9604, abs=1e-4)
    assert found.high == pytest.approx((0.625 + 0.4802 + 1.96 * 0.34442) / 1.9604, abs=1e-4)


def test_wilson_stays_inside_the_unit_interval() -> None:
    """8 of 8: the bounds are 8/(8 + 3.8415) = 0.6756 and 1."""
    found = wilson_interval(np.ones(8, dtype=bool))
    assert found.low == pytest.approx(0.6756, abs=1e-4)
    assert found.high == 1.0


def test_the_bootstrap_of_a_normal_mean() -> None:
    """400 draws of deviation 2: the half-width is about 1.96·2/20 = 0.196."""
    values = np.random.default_rng(0).normal(1.0, 2.0, size=400)
    found = cluster_bootstrap(values)
    assert found.mean == pytest.approx(values.mean())
    assert (found.high - found.low) / 2 == pytest.approx(0.196, rel=0.1)


def test_groups_that_differ_widen_the_interval() -> None:
    """Five groups of 100 values: their own spread of 1 must count, not the 500 values."""
    generator = np.random.default_rng(0)
    values = generator.normal(size=(5, 1)) + 0.1 * generator.normal(size=(5, 100))
    wide, narrow = cluster_bootstrap(values), cluster_bootstrap(values.ravel())
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)


def test_values_of_one_cluster_are_not_independent() -> None:
    """Ten clusters of deviation s in 400 values: half-width 1.96·s/√10, not 1.96·s/√400."""
    generator, clusters = np.random.default_rng(3), np.arange(400) % 10
    levels = generator.normal(size=10)
    values = levels[clusters] + 0.1 * generator.normal(size=400)
    for found, count in (
        (cluster_bootstrap(values, clusters), 10),
        (cluster_bootstrap(values), 400),
    ):
        expected = 1.96 * levels.std() / count**0.5
        assert (found.high - found.low) / 2 == pytest.approx(expected, rel=0.1)


def test_clusters_of_unequal_size() -> None:
    """One cluster of three ones, another of one zero: resampled means are 0, 3/4 and 1."""
    found = cluster_bootstrap(np.array([1.0, 1, 1, 0]), np.array([5, 5, 5, 7]))
    assert vars(found) == {"mean": 0.75, "low": 0.0, "high": 1.0}
