"""Which point to try next, given a surrogate: the maximum of the log-expected improvement."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import erfcx, ndtr

from infinito.search.space.parameters import Array


def log_expected_improvement(
    mean: Array, deviation: Array, best: float | Array
) -> tuple[Array, Array]:
    """Compute log EI and the factors of its slopes; stable far below the best.

    Returns:
        The logarithm of the expected improvement on `best` (points,), and r (points,), for which
        d log EI = (−r · d mean + (1 − z·r) · d deviation) / deviation.
    """
    z = np.maximum((best - mean) / deviation, -1e4)
    log_density = -0.5 * z * z
    mills = math.sqrt(math.pi / 2) * erfcx(-np.minimum(z, 5.0) / math.sqrt(2))
    density = np.exp(log_density) / math.sqrt(2 * math.pi)
    share = np.where(z < -100, 1 / (z * z + 3), 1 + z * mills)
    low = z < 1
    log_h = np.where(
        low,
        log_density - 0.5 * math.log(2 * math.pi) + np.log(np.where(low, share, 1.0)),
        np.log(np.where(low, 1.0, density + z * ndtr(z))),
    )
    ratio = np.where(
        low, mills / np.where(low, share, 1.0), ndtr(z) / np.where(low, 1.0, density + z * ndtr(z))
    )
    return log_h + np.log(deviation), ratio
