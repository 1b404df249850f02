"""log EI against its definition, in the middle and far out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from infinito.search.surrogate.acquisition import log_expected_improvement


@pytest.mark.parametrize(("mean", "deviation"), [(0.3, 0.5), (-0.8, 0.4), (1.5, 0.7), (-4.0, 0.5)])
def test_equals_the_integral(mean: float, deviation: float) -> None:
    gain = quad(lambda y: (0.1 - y) * norm.pdf(y, mean, deviation), mean - 12 * deviation, 0.1)[0]
    value = log_expected_improvement(np.array([mean]), np.array([deviation]), 0.1)[0][0]
    assert value == pytest.approx(np.log(gain), abs=1e-7)


def test_far_below_the_best() -> None:
    """For z → −∞, h(z) = φ(z)/z²·(1 − 3/z² + …)."""
    z = np.array([-50.0, -99.0, -101.0, -500.0])
    value = log_expected_improvement(-z, np.ones(4), 0.0)[0]
    expected = norm.logpdf(z) - 2 * np.log(-z) + np.log1p(-3 / z**2 + 15 / z**4)
    assert value == pytest.approx(expected, rel=1e-9)


def test_slopes_equal_differences() -> None:
    mean, deviation = np.linspace(-3, 60, 40), np.linspace(0.3, 1.7, 40)
    step = 1e-6
    _, ratio = log_expected_improvement(mean, deviation, 0.0)
    z = -mean / deviation
    upper = log_expected_improvement(mean + step, deviation, 0.0)[0]
    lower = log_expected_improvement(mean - step, deviation, 0.0)[0]
    assert -ratio / deviation == pytest.approx((upper - lower) / (2 * step), rel=1e-4, abs=1e-7)
    upper = log_expected_improvement(mean, deviation + step, 0.0)[0]
    lower = log_expected_improvement(mean, deviation - step, 0.0)[0]
    assert (1 - z * ratio) / deviation == pytest.approx(
        (upper - lower) / (2 * step), rel=1e-4, abs=1e-7
    )
