"""One loss for each trial, on the scales that the tree and the surrogate learn from."""

from __future__ import annotations

import math

import numpy as np

from infinito.search.space.parameters import Array

FAR = 1e6
"""A loss has diverged if it is this many times farther from the least than the next smaller one."""

SOUND = 0.25
"""Share of the losses, the least ones, that are never taken for diverged."""

TAIL = 5.0
"""Transformed losses end this many times the distance from their lowest tenth to their median
above that median: 6.4 standard deviations of a normal distribution."""

PASSES = 3
"""How often losses are transformed anew after a tail was cut."""

DECADES = 0.5
"""Nats per trial by which logarithms have to be the likelier transformation to be used."""

SHIFT = 0.3
"""Quantile of the distances to the least loss that is added before logarithms are taken."""

PLATEAU = 0.5
"""Share of the trials whose losses are equal where there is a plateau."""

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


def is_plateau(losses: Array) -> bool:
    """Tell whether the least loss is that of more than half of the trials, so none is better.

    A surrogate of equal losses is least certain at the bounds and would propose nothing else.

    Args:
        losses: (trials,), one or more.
    """
    return bool(np.sum(losses <= losses.min()) > PLATEAU * len(losses))


def has_plateau(losses: Array) -> bool:
    """Tell whether more than half of the trials have the same loss.

    The few others look like noise to a likelihood, so hyper-parameters cannot be fitted to them.

    Args:
        losses: (trials,), one or more.
    """
    return bool(np.unique(losses, return_counts=True)[1].max() > PLATEAU * len(losses))


def normalise(losses: Array) -> Array:
    """(trials,): losses transformed towards a normal distribution, of mean 0 and variance 1.

    The transformation is Yeo and Johnson's with the most likely power of a grid; where losses span
    decades, which no power straightens, the logarithm of the distance to the least loss. The order
    is kept, except that diverged losses become equal.

    Source: Yeo and Johnson, A New Family of Power Transformations (2000).
    """
    losses = _clip_diverged(losses)
    for _ in range(PASSES):
        scores = _straighten(losses)
        low, middle = np.quantile(scores, [0.1, 0.5]) if len(scores) else (0.0, 0.0)
        sound = scores <= middle + TAIL * (middle - low)
        if sound.all() or not middle > low:
            break
        losses = np.minimum(losses, losses[sound].max())
    return scores


def _straighten(losses: Array) -> Array:
    """Apply the most likely transformation; return zeros where the losses are equal."""
    if not len(losses) or not _differ(losses):
        return np.zeros(len(losses))
    spread = losses.std()
    z = (losses - losses.mean()) / spread
    logs = np.log1p(np.abs(z))
    bent = np.where(z >= 0, _bend(logs, _POWERS), -_bend(logs, 2 - _POWERS))
    likelihood = (_POWERS - 1) @ (np.sign(z) * logs)[None]
    fits = likelihood.sum(axis=1) - 0.5 * len(z) * np.log(bent.var(axis=1) + 1e-12)
    chosen = bent[int(np.argmax(fits))]
    distances = (losses - losses.min()) / spread
    far = np.log(distances + np.quantile(distances[distances > 0], SHIFT))
    fit = -far.sum() - 0.5 * len(z) * math.log(far.var() + 1e-12)
    if fit > fits.max() + DECADES * len(z):
        chosen = far
    normal: Array = (chosen - chosen.mean()) / max(float(chosen.std()), math.sqrt(1e-12))
    return normal


def _differ(losses: Array) -> bool:
    return bool(np.ptp(losses) > 1e-12 * max(1.0, float(np.abs(losses).max())))


def _clip_diverged(losses: Array) -> Array:
    """Let losses of another order of magnitude count as the worst of the others.

    Otherwise one loss of 1e30 would leave no difference between all others.
    """
    ordered = np.sort(losses)
    beyond = ordered - ordered[:1]
    jumps = np.flatnonzero((beyond[:-1] > 0) & (beyond[1:] > FAR * beyond[:-1]))
    jumps = jumps[jumps + 1 >= max(3, SOUND * len(losses))]
    return np.minimum(losses, ordered[jumps[0]]) if len(jumps) else losses


def _bend(logs: Array, powers: Array) -> Array:
    """Compute ((1 + |z|)^power − 1) / power from log(1 + |z|); its limit for power 0."""
    flat = np.abs(powers) < 1e-9
    return np.where(flat, logs, np.expm1(powers * logs) / np.where(flat, 1.0, powers))
