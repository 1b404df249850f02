"""A Gaussian process over mixed points: what scores to expect where nothing has been tried.

The kernel is a constant plus a mixture of a Matérn 5/2 of all parameters together and the mean of
one for each parameter alone, so that what one parameter does is learned from all trials where
parameters act separately. Values without order differ by 1 or not at all. Length scales, the
mixture's weight and the noise are the most probable ones given their priors; the amplitude is
integrated out in closed form.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dsymv
from scipy.linalg.lapack import dpotrf, dpotri, dtrtri
from scipy.special import expit

from infinito.search.parameters import Array

LENGTH_MEDIAN, LENGTH_SPREAD = 0.6, 1.0
"""Prior of a length scale: the logarithm's mean (as a length) and standard deviation."""

NOISE_MEDIAN, NOISE_SPREAD = 1e-4, 2.0
"""Prior of the noise's variance as a share of the amplitude."""

JOINT_MEDIAN, JOINT_SPREAD = 0.0, 1.5
"""Prior of the logit of the joint kernel's share."""

_BOUNDS_LENGTH = (math.log(0.02), math.log(20.0))
_BOUNDS_JOINT = (-4.0, 4.0)
_BOUNDS_NOISE = (math.log(1e-6), math.log(0.5))
_AMPLITUDE_WEIGHT = 3.0
"""The amplitude's prior: as if so many standardised scores of variance 1 had been seen."""

_CACHED = 12_000
"""Kernel entries that are computed together: few enough to stay in the cache."""

_CONSTANT = 1.0
"""Variance of the constant part, as a share of the amplitude."""


class Surrogate:
    """The posterior given points, standardised scores and hyper-parameters.

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
        self.rows, self.ordered = rows, ordered
        self.scales = math.sqrt(5.0) * np.exp(-theta[:-2])
        self.joint = float(expit(theta[-2]))
        kernel = self._kernel(rows)
        kernel[np.diag_indices_from(kernel)] += math.exp(theta[-1])
        self.root = dtrtri(_lower(kernel), lower=1)[0]
        whitened = self.root @ scores
        self.weights = whitened @ self.root
        freedom = _AMPLITUDE_WEIGHT
        self.amplitude = (freedom + whitened @ whitened) / (freedom + len(scores))

    def predict(self, rows: Array) -> tuple[Array, Array]:
        """Mean and standard deviation (points,) of the score without noise."""
        kernel = self._kernel(rows)
        half = self.root @ kernel
        variance = 1 + _CONSTANT - np.einsum("tr,tr->r", half, half)
        return self.weights @ kernel, np.sqrt(self.amplitude * np.maximum(variance, 1e-10))

    def slopes(self, rows: Array) -> tuple[Array, Array, Array, Array]:
        """Mean, deviation (points,), and their gradients (points, parameters)."""
        reach = _reaches(self.rows, rows, self.scales, self.ordered)
        whole = np.sqrt(np.square(reach).sum(axis=0))
        falloffs = np.exp(-reach)
        steep = (1 + reach) * falloffs
        alone = (steep + np.square(reach) / 3 * falloffs).mean(axis=0)
        factors = (1 - self.joint) / len(reach) * steep
        factors += self.joint * ((1 + whole) * np.exp(-whole))
        factors *= self.rows.T[:, :, None] - rows.T[:, None, :]
        kernel = self._mixed(whole, alone)
        half = self.root @ kernel
        variance = np.maximum(1 + _CONSTANT - np.square(half).sum(axis=0), 1e-10)
        deviation = np.sqrt(self.amplitude * variance)
        squared = np.square(self.scales) / 3
        mean_slope = np.einsum("t,ptr->rp", self.weights, factors) * squared
        variance_slope = -2 * np.einsum("tr,ptr->rp", self.root.T @ half, factors) * squared
        return (
            self.weights @ kernel,
            deviation,
            mean_slope,
            self.amplitude * variance_slope / (2 * deviation[:, None]),
        )

    def _kernel(self, rows: Array) -> Array:
        """(trials, points)."""
        kernel = np.empty((len(self.rows), len(rows)))
        step = max(1, _CACHED // len(self.rows))
        first, second = self.rows * self.scales, rows * self.scales
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            squares = alone = np.zeros((len(first), 1))
            for i, scale in enumerate(self.scales):
                reach = _reach(first[:, i, None], second[part, i], scale, self.ordered[i])
                alone = alone + _matern(reach)
                squares = squares + np.square(reach, out=reach)
            kernel[:, part] = self._mixed(np.sqrt(squares), alone / len(self.scales))
        return kernel

    def _mixed(self, whole: Array, alone: Array) -> Array:
        return _CONSTANT + self.joint * _matern(whole) + (1 - self.joint) * alone


class _Posterior:
    """The negative logarithm of the hyper-parameters' posterior density, and its gradient."""

    def __init__(self, rows: Array, scores: Array, ordered: NDArray[np.bool_]) -> None:
        self.scores = scores
        self.pairs = np.tril_indices(len(rows), -1)
        self.apart = np.empty((rows.shape[1], len(self.pairs[0])))
        for i, column in enumerate(rows.T * math.sqrt(5.0)):
            self.apart[i] = _reach(column[:, None], column, math.sqrt(5.0), ordered[i])[self.pairs]
        self.squares = np.square(self.apart)
        self.steep = np.empty_like(self.apart)

    def __call__(self, theta: Array) -> tuple[float, Array]:
        count, size = len(self.scores), len(theta) - 2
        joint, noise = float(expit(theta[-2])), math.exp(theta[-1])
        inverses = np.exp(-theta[:-2])
        alone = self._alone(inverses)
        whole = np.sqrt(np.square(inverses) @ self.squares)
        together = _matern(whole)
        kernel = np.zeros((count, count))
        kernel[self.pairs] = _CONSTANT + joint * together + (1 - joint) * alone
        kernel[np.diag_indices(count)] = 1 + _CONSTANT + noise
        lower = _lower(kernel)
        inverse = dpotri(lower, lower=1)[0]
        weights = dsymv(1.0, inverse, self.scores, lower=1)
        freedom = _AMPLITUDE_WEIGHT
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
        away = (theta - default_theta(size)) / _spread(size)
        return value + 0.5 * away @ away, slope + away / _spread(size)

    def _alone(self, inverses: Array) -> Array:
        """(pairs,): the mean of the single kernels; keeps (1 + reach)·exp(−reach) of each."""
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


def fit(
    rows: Array, scores: Array, ordered: NDArray[np.bool_], start: Array, steps: int = 20
) -> Array:
    """The most probable hyper-parameters near a start (see `Surrogate` for their order)."""
    from scipy.optimize import minimize

    bounds = [_BOUNDS_LENGTH] * (len(start) - 2) + [_BOUNDS_JOINT, _BOUNDS_NOISE]
    found = minimize(
        _Posterior(rows, scores, ordered),
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": steps, "maxfun": 2 * steps},
    )
    return found.x if math.isfinite(found.fun) else start


def default_theta(size: int) -> Array:
    """The prior's median for so many parameters."""
    return np.array([math.log(LENGTH_MEDIAN)] * size + [JOINT_MEDIAN, math.log(NOISE_MEDIAN)])


def _spread(size: int) -> Array:
    return np.array([LENGTH_SPREAD] * size + [JOINT_SPREAD, NOISE_SPREAD])


def _reaches(first: Array, second: Array, scales: Array, ordered: NDArray[np.bool_]) -> Array:
    """(parameters, first, second): scaled distances in each parameter."""
    columns = zip((first * scales).T, (second * scales).T, scales, ordered, strict=True)
    return np.stack([_reach(a[:, None], b, scale, known) for a, b, scale, known in columns])


def _reach(first: Array, second: Array, scale: float, is_ordered: bool) -> Array:
    reach: Array = np.abs(first - second)
    return reach if is_ordered else np.where(reach > 1e-9, scale, 0.0)


def _matern(reach: Array) -> Array:
    value = np.exp(-reach)
    value *= (reach * (1 / 3) + 1) * reach + 1
    return value


def _lower(kernel: Array) -> Array:
    """The lower Cholesky factor; the diagonal is raised where rounding asks for it."""
    jitter = 0.0
    while True:
        raised = kernel if not jitter else kernel + jitter * np.eye(len(kernel))
        factor, failed = dpotrf(raised, lower=1, clean=1)
        if not failed:
            return factor
        jitter = max(10 * jitter, 1e-10)
