"""The Gaussian process against a slow reference, its gradients against differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from infinito.search.surrogate.hyperparameters import _Posterior, fit_theta, make_default_theta
from infinito.search.surrogate.surrogate import Surrogate

ORDERED = np.array([True, True, False])
THETA = np.array([math.log(0.4), math.log(1.5), math.log(0.8), 0.3, math.log(1e-3)])


def points(count: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).random((count, 3))
    rows[:, 2] = (np.floor(rows[:, 2] * 3) + 0.5) / 3
    return rows


def scores(rows: np.ndarray) -> np.ndarray:
    raw = np.sin(5 * rows[:, 0]) + rows[:, 1] * (rows[:, 2] > 0.5)
    return (raw - raw.mean()) / raw.std()


def slow_kernel(first: np.ndarray, second: np.ndarray) -> float:
    """1 + w·m(|Δ|) + (1 − w)·mean m(|Δ_i|), m the Matérn 5/2, w = 1 / (1 + exp(−0.3))."""

    def matern(distance: float) -> float:
        root = math.sqrt(5) * distance
        return (1 + root + root**2 / 3) * math.exp(-root)

    apart = [abs(a - b) for a, b in zip(first, second, strict=True)]
    apart[2] = float(apart[2] > 0)
    apart = [distance / math.exp(t) for distance, t in zip(apart, THETA[:3], strict=True)]
    share = 1 / (1 + math.exp(-0.3))
    alone = sum(map(matern, apart)) / 3
    return 1 + share * matern(math.hypot(*apart)) + (1 - share) * alone


def test_posterior_equals_the_textbook() -> None:
    rows, others = points(12), points(5, seed=1)
    targets = scores(rows)
    kernel = np.array([[slow_kernel(a, b) for b in rows] for a in rows]) + 1e-3 * np.eye(12)
    cross = np.array([[slow_kernel(a, b) for b in others] for a in rows])
    amplitude = (3 + targets @ np.linalg.solve(kernel, targets)) / (3 + 12)
    mean, deviation = Surrogate(rows, targets, ORDERED, THETA).predict(others)
    assert mean == pytest.approx(cross.T @ np.linalg.solve(kernel, targets), abs=1e-9)
    variance = 2 - np.diag(cross.T @ np.linalg.solve(kernel, cross))
    assert deviation == pytest.approx(np.sqrt(amplitude * variance), abs=1e-9)


def test_slopes_equal_differences() -> None:
    rows, others = points(12), points(4, seed=1)
    surrogate = Surrogate(rows, scores(rows), ORDERED, THETA)
    mean, deviation, mean_slope, deviation_slope = surrogate.predict_slopes(others)
    assert np.allclose((mean, deviation), surrogate.predict(others))
    for i, row in enumerate(others):
        for k, slope in enumerate((mean_slope, deviation_slope)):
            rough = approx_fprime(row, lambda x, k=k: surrogate.predict(x[None])[k][0], 1e-7)
            assert slope[i, :2] == pytest.approx(rough[:2], abs=1e-4)


def test_fantasies_have_the_posterior_s_mean_and_covariance() -> None:
    """Kriging by hand for two points: over 4000 draws, mean and covariance to 5 standard errors."""
    rows, running = points(12), points(2, seed=1)
    kernel = np.array([[slow_kernel(a, b) for b in rows] for a in rows]) + 1e-3 * np.eye(12)
    cross = np.array([[slow_kernel(a, b) for b in running] for a in rows])
    between = np.array([[slow_kernel(a, b) for b in running] for a in running])
    surrogate = Surrogate(rows, scores(rows), ORDERED, THETA)
    found = surrogate.fantasise(running, 4000, np.random.default_rng(0))
    assert (found.scores[:12] == scores(rows)[:, None]).all()
    expected = surrogate.amplitude * (between - cross.T @ np.linalg.solve(kernel, cross))
    spread = np.sqrt(np.diag(expected))
    means = cross.T @ np.linalg.solve(kernel, scores(rows))
    assert (np.abs(found.scores[12:].mean(axis=1) - means) < 5 * spread / math.sqrt(4000)).all()
    error = 5 * math.sqrt(2 / 4000) * np.outer(spread, spread)
    assert (np.abs(np.cov(found.scores[12:]) - expected) < error).all()


def test_a_fantasy_is_the_posterior_of_its_scores() -> None:
    rows, running, others = points(12), points(3, seed=1), points(5, seed=2)
    surrogate = Surrogate(rows, scores(rows), ORDERED, THETA)
    found = surrogate.fantasise(running, 4, np.random.default_rng(0))
    means, deviation, slopes, _ = found.predict_slopes(others)
    assert means.shape == (4, 5)
    assert slopes.shape == (4, 5, 3)
    for each in range(4):
        alone = Surrogate(found.rows, found.scores[:, each], ORDERED, THETA)
        mean, spread, slope, _ = alone.predict_slopes(others)
        assert means[each] == pytest.approx(mean, abs=1e-9)
        assert slopes[each] == pytest.approx(slope, abs=1e-9)
        assert deviation / math.sqrt(surrogate.amplitude) == pytest.approx(
            spread / math.sqrt(alone.amplitude), abs=1e-9
        )


def test_gradient_of_the_posterior_equals_differences() -> None:
    rows = points(15)
    posterior = _Posterior(rows, scores(rows), ORDERED)
    rough = approx_fprime(THETA, lambda theta: posterior(theta)[0], 1e-6)
    assert posterior(THETA)[1] == pytest.approx(rough, abs=1e-3)


def test_fit_finds_what_matters() -> None:
    """One parameter does all the work; the others end with longer length scales than it."""
    rows = points(40)
    raw = np.sin(9 * rows[:, 0])
    theta = fit_theta(rows, (raw - raw.mean()) / raw.std(), ORDERED, make_default_theta(3))
    assert theta[0] < min(theta[1:3]) - 0.5
    assert theta[-1] < math.log(1e-2)


def test_repeated_points_are_no_obstacle() -> None:
    rows = np.repeat(points(3), 5, axis=0)
    surrogate = Surrogate(rows, scores(rows), ORDERED, np.array([0.0, 0, 0, 0, -30.0]))
    assert np.isfinite(surrogate.predict(points(4, seed=1))).all()
