"""The kernel's parts, shared by the surrogate and the search for its hyper-parameters."""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg.lapack import dpotrf

from infinito.search.space.parameters import Array

AMPLITUDE_WEIGHT = 3.0
"""The amplitude's prior, worth this many standardised scores of variance 1."""

CONSTANT = 1.0
"""Variance of the constant part, as a share of the amplitude."""


def scale_distance(first: Array, second: Array, scale: float, is_ordered: bool) -> Array:
    """Compute √5 × distance / length scale between values of one parameter.

    Args:
        first, second: Coordinates times `scale`, of shapes that broadcast.
        scale: √5 / length scale.
        is_ordered: Without an order, different values are at distance 1.
    """
    reach: Array = np.abs(first - second)
    return reach if is_ordered else np.where(reach > 1e-9, scale, 0.0)


def matern(reach: Array) -> Array:
    """Compute the Matérn 5/2 kernel of √5 × distance / length scale."""
    value = np.exp(-reach)
    value *= (reach * (1 / 3) + 1) * reach + 1
    return value


def cholesky(kernel: Array) -> Array:
    """Return the lower factor; the diagonal is raised where rounding makes the kernel singular.

    Raises:
        AssertionError: The kernel holds NaN.
    """
    jitter = 0.0
    while jitter < math.inf:
        raised = kernel if not jitter else kernel + jitter * np.eye(len(kernel))
        factor: Array
        factor, failed = dpotrf(raised, lower=1, clean=1)
        if not failed:
            if np.isnan(factor[-1:, -1:]).any():  # LAPACK spreads NaN to the end and reports none
                break
            return factor
        jitter = max(10 * jitter, 1e-10)
    raise AssertionError("the kernel holds NaN")
