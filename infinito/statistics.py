"""Intervals and tests for means, differences and shares, on the distributions of scipy.stats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

LEVEL = 0.95
"""Confidence level of all intervals."""
PERCENTILES = (0.025, 0.975)
"""Bounds of a bootstrap interval of that level."""
RESAMPLES = 10_000
"""Resamples of a bootstrap."""

Values = Sequence[float] | np.ndarray
Alternative = Literal["two-sided", "less", "greater"]


@dataclass(frozen=True)
class Interval:
    """An estimate and the bounds of its 95 % confidence interval; NaN bounds where it has none."""

    mean: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Distance from the estimate to the upper bound."""
        return self.high - self.mean

    def __str__(self) -> str:
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


class Comparison(NamedTuple):
    """A difference of means with its interval, and the p-value of "no difference"."""

    difference: Interval
    p_value: float


def mean_interval(values: Values) -> Interval:
    """Return the mean of independent values with Student's t interval.

    Args:
        values: (values,). A single value has a mean but no interval.
    """
    from scipy import stats

    mean = float(np.mean(values))
    if len(values) < 2:
        return Interval(mean, math.nan, math.nan)
    half = float(stats.sem(values) * stats.t.ppf((1 + LEVEL) / 2, len(values) - 1))
    return Interval(mean, mean - half, mean + half)


def paired_difference(
    first: Values, second: Values, alternative: Alternative = "two-sided"
) -> Comparison:
    """Compare means of pairs: the mean of first − second with its t interval and t-test.

    Args:
        first: (pairs,).
        second: (pairs,), in the same order.
        alternative: What the p-value speaks against "no difference" for: that the first mean is
            "greater", "less", or either.
    """
    from scipy import stats

    difference = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    interval = mean_interval(difference)
    if np.ptp(difference) == 0:
        return Comparison(interval, _decide_without_spread(interval.mean, alternative))
    test = stats.ttest_1samp(difference, 0.0, alternative=alternative)
    return Comparison(interval, float(test.pvalue))


def welch_test(first: Values, second: Values, alternative: Alternative = "two-sided") -> Comparison:
    """Compare means of independent samples with unequal variances: first − second.

    Args:
        first: (values,), two or more.
        second: (values,), two or more.
        alternative: As for `paired_difference`.

    Source: Welch 1947, The generalization of "Student's" problem, Biometrika 34, 28–35.
    """
    from scipy import stats

    gap = float(np.mean(first) - np.mean(second))
    if np.ptp(first) == 0 and np.ptp(second) == 0:
        return Comparison(Interval(gap, gap, gap), _decide_without_spread(gap, alternative))
    test = stats.ttest_ind(first, second, equal_var=False, alternative=alternative)
    two_sided = stats.ttest_ind(first, second, equal_var=False)
    low, high = two_sided.confidence_interval(LEVEL)
    return Comparison(Interval(gap, float(low), float(high)), float(test.pvalue))


def wilson_interval(wins: np.ndarray) -> Interval:
    """Return a share with its Wilson interval, which stays inside [0, 1].

    Args:
        wins: (trials,) of 1 and 0, or of booleans; ½ counts as half a win.

    Source: Wilson 1927, J. Am. Stat. Assoc. 22, 209–212.
    """
    from scipy import stats

    share, count = float(wins.mean()), len(wins)
    z = float(stats.norm.ppf((1 + LEVEL) / 2))
    centre = share + z * z / (2 * count)
    half = z * math.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2)
    low, high = ((centre + each) / (1 + z * z / count) for each in (-half, half))
    return Interval(share, max(0.0, low), min(1.0, high))


def cluster_bootstrap(
    values: np.ndarray, clusters: np.ndarray | None = None, seed: int = 0
) -> Interval:
    """Return the mean of values with a percentile bootstrap interval.

    Args:
        values: (values,), or (groups, values) where the groups are a random sample too. A value's
            column means the same in every group, so columns are resampled once for all groups.
        clusters: (values,): the cluster of each value. Values of one cluster are not independent
            and are resampled together. None: each value is a cluster of its own.
        seed: Seed of the resampling.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, section 13.3; resampled by
    clusters as in Cameron, Gelbach and Miller 2008.
    """
    values = np.atleast_2d(values)
    groups, columns = values.shape
    labels = np.arange(columns) if clusters is None else clusters
    _, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
    sums = np.stack([np.bincount(index, row) for row in values])  # (groups, clusters)
    generator = np.random.default_rng(seed)
    group_counts = generator.multinomial(groups, np.full(groups, 1 / groups), RESAMPLES)
    cluster_counts = generator.multinomial(
        len(counts), np.full(len(counts), 1 / len(counts)), RESAMPLES
    )  # (resamples, clusters)
    totals = np.einsum("rg,gc,rc->r", group_counts, sums, cluster_counts, optimize=True)
    low, high = np.quantile(totals / (groups * cluster_counts @ counts), PERCENTILES)
    return Interval(float(values.mean()), float(low), float(high))


def _decide_without_spread(difference: float, alternative: Alternative) -> float:
    """Return the p-value where no value varies, for which Student's t is undefined."""
    holds = {"less": difference < 0, "greater": difference > 0, "two-sided": difference != 0}
    return 0.0 if holds[alternative] else 1.0
