"""A Gaussian process over mixed points, which predicts scores of untried ones.

The kernel is a constant plus a mixture of a Matérn 5/2 of all parameters together and the mean of
one for each parameter alone; where parameters act separately, the second part learns the effect of
each from all trials. Values without order differ by 1 or not at all. The amplitude is
integrated out in closed form; `hyperparameters` finds the rest.
"""

from __future__ import annotations

import copy
import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dtrtri
from scipy.special import expit

from infinito.search.space.parameters import Array
from infinito.search.surrogate.kernel import (
    AMPLITUDE_WEIGHT,
    CONSTANT,
    cholesky,
    matern,
    scale_distance,
)

_CACHED = 12_000
"""Kernel entries computed together: few enough for the processor's cache."""


class Posterior(Protocol):
    """What a play-out asks of a surrogate; see `Surrogate`."""

    rows: Array
    scores: Array

    @property
    def noise(self) -> float: ...
    @property
    def amplitude(self) -> float: ...
    def predict(self, rows: Array) -> tuple[Array, Array]: ...
    def predict_slopes(self, rows: Array) -> tuple[Array, Array, Array, Array]: ...


class Surrogate:
    """The posterior, given points, standardised scores and hyper-parameters.

    Args:
        rows: (trials, parameters).
        scores: (trials,): about zero mean and unit variance, less is better.
        ordered: (parameters,): which of them have an order.
        theta: (parameters + 2,): logarithms of length scales, logit of the joint kernel's share,
            logarithm of the noise.
    """

    def __init__(
        self, rows: Array, scores: Array, ordered: NDArray[np.bool_], theta: Array
    ) -> None:
        self.ordered = ordered
        self.scales = math.sqrt(5.0) * np.exp(-theta[:-2])
        self.joint = float(expit(theta[-2]))
        self.noise = math.exp(theta[-1])
        whitened = self._condition(rows, scores)
        freedom = AMPLITUDE_WEIGHT
        self.amplitude = float((freedom + whitened @ whitened) / (freedom + len(scores)))

    def fantasise(self, rows: Array, count: int, rng: np.random.Generator) -> Surrogate:
        """Return the posterior that also knows scores of `rows`, drawn `count` times from this one.

        Its scores are (trials, count), `rows` last, and its means (count, points). The draws differ
        where a score is still unknown and agree where it is known.

        Source: Snoek, Larochelle and Adams (2012), section 3.3.
        """
        kernel = self._kernel(self.rows, rows)
        half = self.root @ kernel
        spread = cholesky(self.amplitude * (self._kernel(rows, rows) - half.T @ half))
        drawn = (self.weights @ kernel)[:, None] + spread @ rng.standard_normal((len(rows), count))
        known = np.repeat(self.scores[:, None], count, axis=1)
        found = copy.copy(self)
        found._condition(np.concatenate([self.rows, rows]), np.concatenate([known, drawn]))
        return found

    def _condition(self, rows: Array, scores: Array) -> Array:
        """Condition on the trials; return their scores, decorrelated."""
        self.rows, self.scores = rows, scores
        kernel = self._kernel(rows, rows)
        kernel[np.diag_indices_from(kernel)] += self.noise
        self.root = dtrtri(cholesky(kernel), lower=1)[0]
        whitened: Array = self.root @ scores
        self.weights = whitened.T @ self.root
        return whitened

    def predict(self, rows: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation (points,) of the score without noise.

        Where scores are fantasised, means are (count, points).
        """
        kernel = self._kernel(self.rows, rows)
        half = self.root @ kernel
        variance = 1 + CONSTANT - np.einsum("tr,tr->r", half, half)
        return self.weights @ kernel, np.sqrt(self.amplitude * np.maximum(variance, 1e-10))

    def predict_slopes(self, rows: Array) -> tuple[Array, Array, Array, Array]:
        """Return mean and deviation (points,), and their gradients (points, parameters).

        Where scores are fantasised, means and their gradients have an axis (count,) before these.
        """
        reach = _scale_distances(self.rows, rows, self.scales, self.ordered)
        whole = np.sqrt(np.square(reach).sum(axis=0))
        falloffs = np.exp(-reach)
        steep = (1 + reach) * falloffs
        alone = (steep + np.square(reach) / 3 * falloffs).mean(axis=0)
        factors = (1 - self.joint) / len(reach) * steep
        factors += self.joint * ((1 + whole) * np.exp(-whole))
        factors *= self.rows.T[:, :, None] - rows.T[:, None, :]
        kernel = self._mix(whole, alone)
        half = self.root @ kernel
        variance = np.maximum(1 + CONSTANT - np.square(half).sum(axis=0), 1e-10)
        deviation = np.sqrt(self.amplitude * variance)
        squared = np.square(self.scales) / 3
        mean_slope = np.einsum("...t,ptr->...rp", self.weights, factors) * squared
        variance_slope = -2 * np.einsum("tr,ptr->rp", self.root.T @ half, factors) * squared
        return (
            self.weights @ kernel,
            deviation,
            mean_slope,
            self.amplitude * variance_slope / (2 * deviation[:, None]),
        )

    def _kernel(self, first: Array, second: Array) -> Array:
        """(first, second)."""
        kernel = np.empty((len(first), len(second)))
        step = max(1, _CACHED // len(first))
        first, second = first * self.scales, second * self.scales
        for start in range(0, len(second), step):
            part = slice(start, start + step)
            squares = alone = np.zeros((len(first), 1))
            for i, scale in enumerate(self.scales):
                reach = scale_distance(first[:, i, None], second[part, i], scale, self.ordered[i])
                alone = alone + matern(reach)
                squares = squares + np.square(reach, out=reach)
            kernel[:, part] = self._mix(np.sqrt(squares), alone / len(self.scales))
        return kernel

    def _mix(self, whole: Array, alone: Array) -> Array:
        return CONSTANT + self.joint * matern(whole) + (1 - self.joint) * alone


def _scale_distances(
    first: Array, second: Array, scales: Array, ordered: NDArray[np.bool_]
) -> Array:
    """(parameters, first, second): scaled distances in each parameter."""
    columns = zip((first * scales).T, (second * scales).T, scales, ordered, strict=True)
    return np.stack([scale_distance(a[:, None], b, scale, known) for a, b, scale, known in columns])
