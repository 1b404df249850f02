"""How much each parameter alone explains of the scores, with intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infinito.search.scores import rank
from infinito.search.space.parameters import Array

BINS = 5
RESAMPLES = 300
INTERVAL = (5.0, 95.0)
"""Percentiles of the resampled shares that bound an interval."""


@dataclass(frozen=True)
class Importance:
    """A share of the variance of ranks, 0 to 1, with its interval over resampled trials."""

    share: float
    low: float
    high: float


def estimate_importances(rows: Array, losses: Array, seed: int = 0) -> list[Importance]:
    """Return the share of the variance of the trials' ranks that each parameter explains alone.

    The correlation ratio over its values, or over five bins of equally many trials where it has
    more, corrected for the share that as many bins explain by chance. Effects of several parameters
    together are missed, and a search looks most where scores are good: a guide, not an experiment.

    Args:
        rows: (trials, parameters): coordinates in [0, 1].
        losses: (trials,).
        seed: Draws the resampled trials.

    Source: Kelley, An Unbiased Correlation Ratio Measure (1935): epsilon squared.
    """
    ranked = rank(losses)
    binned = [_bin(column) for column in rows.T]
    shares = [_explain_share(bins, ranked) for bins in binned]
    rng = np.random.default_rng(seed)
    draws = rng.integers(len(rows), size=(RESAMPLES, len(rows)))
    found = []
    for bins, share in zip(binned, shares, strict=True):
        again = [_explain_share(bins[draw], ranked[draw]) for draw in draws]
        low, high = np.percentile(again, INTERVAL)
        found.append(Importance(share, float(low), float(high)))
    return found


def _bin(column: Array) -> NDArray[np.int64]:
    values, index = np.unique(column, return_inverse=True)
    if len(values) <= BINS:
        return index
    edges = np.quantile(column, np.linspace(0, 1, BINS + 1)[1:-1])
    return np.searchsorted(edges, column, side="right")


def _explain_share(bins: NDArray[np.int64], ranked: Array) -> float:
    """Return epsilon squared, 0 where chance alone would explain as much."""
    counts = np.bincount(bins)
    kinds = int((counts > 0).sum())
    total = ((ranked - ranked.mean()) ** 2).sum()
    if total == 0 or kinds < 2 or len(ranked) <= kinds:
        return 0.0
    means = np.bincount(bins, ranked) / np.maximum(counts, 1)
    within = ((ranked - means[bins]) ** 2).sum()
    return float(max(0.0, 1 - within / (len(ranked) - kinds) * (len(ranked) - 1) / total))
