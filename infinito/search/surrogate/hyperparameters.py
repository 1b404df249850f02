"""The surrogate's most probable length scales, mixture and noise, given their priors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dsymv
from scipy.linalg.lapack import dpotri
from scipy.special import expit

from infinito.search.space.parameters import Array
from infinito.search.surrogate.kernel import (
    AMPLITUDE_WEIGHT,
    CONSTANT,
    cholesky,
    matern,
    scale_distance,
)

LENGTH_MEDIAN, LENGTH_SPREAD = 0.6, 1.0
"""Prior of a length scale: the logarithm's mean (as a length) and standard deviation."""


@dataclass(frozen=True)
class NoisePrior:
    """Prior of the noise's variance as a share of the amplitude.

    Attributes:
        median: Of the share.
        spread: Standard deviation of its logarithm.
        most: The share is at most this.
    """

    median: float
    spread: float
    most: float


EXACT = NoisePrior(1e-4, 2.0, 0.5)
"""For scores that say what a setting is worth."""

NOISY = NoisePrior(0.1, 1.0, 4.0)
"""For scores that another seed would change."""

JOINT_MEDIAN, JOINT_SPREAD = 0.0, 1.5
"""Prior of the logit of the joint kernel's share."""

_BOUNDS_LENGTH = (math.log(0.02), math.log(20.0))
_BOUNDS_JOINT = (-4.0, 4.0)
_LEAST_NOISE = 1e-6


def fit_theta(
    rows: Array,
    scores: Array,
    ordered: NDArray[np.bool_],
    start: Array,
    prior: NoisePrior = EXACT,
    steps: int = 20,
) -> Array:
    """Find the most probable hyper-parameters near a start (see `Surrogate` for their order)."""
    from scipy.optimize import minimize

    noise = (math.log(_LEAST_NOISE), math.log(prior.most))
    bounds = [_BOUNDS_LENGTH] * (len(start) - 2) + [_BOUNDS_JOINT, noise]
    found = minimize(
        _Posterior(rows, scores, ordered, prior),
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": steps, "maxfun": 2 * steps},
    )
    return found.x if math.isfinite(found.fun) else start


def make_default_theta(size: int, prior: NoisePrior = EXACT) -> Array:
    """Return the prior's median for this number of parameters."""
    return np.array([math.log(LENGTH_MEDIAN)] * size + [JOINT_MEDIAN, math.log(prior.median)])


class _Posterior:
    """The negative logarithm of the hyper-parameters' posterior density, and its gradient."""

    def __init__(
        self, rows: Array, scores: Array, ordered: NDArray[np.bool_], prior: NoisePrior = EXACT
    ) -> None:
        size = rows.shape[1]
        self.scores = scores
        self.middle = make_default_theta(size, prior)
        self.spread = np.array([LENGTH_SPREAD] * size + [JOINT_SPREAD, prior.spread])
        self.pairs = np.tril_indices(len(rows), -1)
        self.apart = np.empty((rows.shape[1], len(self.pairs[0])))
        for i, column in enumerate(rows.T * math.sqrt(5.0)):
            self.apart[i] = scale_distance(column[:, None], column, math.sqrt(5.0), ordered[i])[
                self.pairs
            ]
        self.squares = np.square(self.apart)
        self.steep = np.empty_like(self.apart)

    def __call__(self, theta: Array) -> tuple[float, Array]:
        count, size = len(self.scores), len(theta) - 2
        joint, noise = float(expit(theta[-2])), math.exp(theta[-1])
        inverses = np.exp(-theta[:-2])
        alone = self._alone(inverses)
        whole = np.sqrt(np.square(inverses) @ self.squares)
        together = matern(whole)
        kernel = np.zeros((count, count))
        kernel[self.pairs] = CONSTANT + joint * together + (1 - joint) * alone
        kernel[np.diag_indices(count)] = 1 + CONSTANT + noise
        lower = cholesky(kernel)
        inverse = dpotri(lower, lower=1)[0]
        weights = dsymv(1.0, inverse, self.scores, lower=1)
        freedom = AMPLITUDE_WEIGHT
        energy = freedom + self.scores @ weights
        value = 0.5 * (count + freedom) * math.log(energy) + np.log(np.diag(lower)).sum()
        ratio = (count + freedom) / energy
        pull = inverse[self.pairs] - ratio * weights[self.pairs[0]] * weights[self.pairs[1]]
        slope = np.empty_like(theta)
        slope[-1] = 0.5 * noise * (np.trace(inverse) - ratio * weights @ weights)
        slope[-2] = joint * (1 - joint) * (pull @ together - pull @ alone)
        pulls = self.squares @ (joint * pull * (1 + whole) * np.exp(-whole))
        pulls += (1 - joint) / size * np.einsum("pk,pk,k->p", self.steep, self.squares, pull)
        slope[:-2] = np.square(inverses) / 3 * pulls
        away = (theta - self.middle) / self.spread
        return value + 0.5 * away @ away, slope + away / self.spread

    def _alone(self, inverses: Array) -> Array:
        """(pairs,): the mean of the single kernels; keep (1 + reach)·exp(−reach) of each."""
        total = np.zeros(self.apart.shape[1])
        for apart, squares, steep, inverse in zip(
            self.apart, self.squares, self.steep, inverses, strict=True
        ):
            reach = apart * inverse
            falloff = np.exp(-reach)
            reach += 1
            np.multiply(reach, falloff, out=steep)
            falloff *= squares
            falloff *= inverse**2 / 3
            falloff += steep
            total += falloff
        return total / len(inverses)
