"""One loss for each trial, on the scales that the tree and the surrogate learn from."""

from __future__ import annotations

import math

import numpy as np

from infinito.search.space.parameters import Array

FIRST, DIVERGED = 8, 1e3
"""A loss has diverged if it is 1000 interquartile ranges of the first 8 above their median."""

FAR = 1e6
"""Among the first losses, one this many times farther from the least than the next smaller one has
diverged too."""

_POWERS = np.linspace(-4.0, 2.0, 25)[:, None]


def scalarise(losses: Array, rng: np.random.Generator | None) -> Array:
    """(trials,): one loss of several objectives, by augmented Chebyshev with random weights.

    Each draw of weights aims at another part of the Pareto front.

    Args:
        losses: (trials, objectives), NaN in the rows of trials without scores.
        rng: Draws the weights; None for equal ones.

    Source: Knowles, ParEGO (2006), equation 2.
    """
    if losses.shape[1] == 1:
        return losses[:, 0]
    known = losses[~np.isnan(losses[:, 0])]
    if not len(known):
        return losses[:, 0]
    low, high = known.min(axis=0), known.max(axis=0)
    equal = np.ones(losses.shape[1])
    weighted = (equal / len(equal) if rng is None else rng.dirichlet(equal)) * (losses - low)
    weighted /= np.where(high > low, high - low, 1.0)
    scalar: Array = weighted.max(axis=1) + 0.05 * weighted.sum(axis=1)
    return scalar


def rank(losses: Array) -> Array:
    """(trials,): rewards from 0, the worst, to 1, the best; equal losses have equal rewards."""
    if len(losses) < 2:
        return np.full(len(losses), 0.5)
    values, inverse, counts = np.unique(losses, return_inverse=True, return_counts=True)
    if len(values) == 1:
        return np.full(len(losses), 0.5)
    before = np.cumsum(counts) - counts
    return 1 - (before + (counts - 1) / 2)[inverse] / (len(losses) - 1)


def normalise(losses: Array) -> Array:
    """(trials,): losses transformed towards a normal distribution, of mean 0 and variance 1.

    The order is kept, except that diverged losses become equal. The power is the most likely one of
    a grid.

    Source: Yeo and Johnson, A New Family of Power Transformations (2000).
    """
    losses = _clip_diverged(losses)
    spread = losses.std()
    if not spread > 1e-12 * max(1.0, float(np.abs(losses).max())):
        return np.zeros(len(losses))
    z = (losses - losses.mean()) / spread
    logs = np.log1p(np.abs(z))
    bent = np.where(z >= 0, _bend(logs, _POWERS), -_bend(logs, 2 - _POWERS))
    likelihood = (_POWERS - 1) @ (np.sign(z) * logs)[None]
    fits = likelihood.sum(axis=1) - 0.5 * len(z) * np.log(bent.var(axis=1) + 1e-12)
    chosen = bent[int(np.argmax(fits))]
    normal: Array = (chosen - chosen.mean()) / max(float(chosen.std()), math.sqrt(1e-12))
    return normal


def _clip_diverged(losses: Array) -> Array:
    """Limit losses to the range that only a diverged trial exceeds.

    Without the limit one loss of 1e30 would leave no difference between all others.
    """
    if not len(losses):
        return losses
    first = np.sort(losses[:FIRST])
    beyond = first - first[0]
    jumps = np.flatnonzero((beyond[:-1] > 0) & (beyond[1:] > FAR * beyond[:-1]))
    sound = losses[losses < first[jumps[0] + 1]] if len(jumps) else losses
    low, middle, high = np.quantile(sound[:FIRST], [0.25, 0.5, 0.75])
    limit = middle + DIVERGED * (high - low) if high > low else np.inf
    return np.minimum(losses, min(limit, sound.max()))


def _bend(logs: Array, powers: Array) -> Array:
    """Compute ((1 + |z|)^power − 1) / power from log(1 + |z|); its limit for power 0."""
    flat = np.abs(powers) < 1e-9
    return np.where(flat, logs, np.expm1(powers * logs) / np.where(flat, 1.0, powers))
