"""Importances find what matters, and nothing where nothing does."""

from __future__ import annotations

import numpy as np
import pytest

from infinito.search.importance import estimate_importances


def test_two_groups_by_hand() -> None:
    """Ranks 0 1 | 2 3: total 5, within 1, so 1 − (1/2)·(3/5) = 0.7; the other column explains 0."""
    rows = np.array([[0.25, 0.25], [0.25, 0.75], [0.75, 0.25], [0.75, 0.75]])
    first, second = estimate_importances(rows, np.array([1.0, 2.0, 5.0, 9.0]))
    assert first.share == pytest.approx(0.7)
    assert second.share == 0


def test_the_parameter_that_matters_is_told_from_noise() -> None:
    rng = np.random.default_rng(0)
    rows = rng.random((100, 3))
    strong, weak, none = estimate_importances(rows, 2 * rows[:, 0] + rows[:, 1])
    assert strong.share > 0.5
    assert strong.low > weak.share > none.share
    assert strong.low <= strong.share <= strong.high


def test_scores_without_cause_have_no_important_parameter() -> None:
    rng = np.random.default_rng(1)
    shares = [
        one.share
        for _ in range(20)
        for one in estimate_importances(rng.random((50, 4)), rng.random(50))
    ]
    assert np.mean(shares) < 0.05


def test_equal_scores_are_not_told_apart_by_their_order() -> None:
    """A search drifts, so the order of trials says where they are."""
    rows = np.linspace(0, 1, 40)[:, None]
    (found,) = estimate_importances(rows, np.tile([0.25, 0.75], 20))
    assert found.share < 0.05


def test_few_or_equal_trials_say_nothing() -> None:
    assert [one.share for one in estimate_importances(np.array([[0.1], [0.9]]), np.zeros(2))] == [
        0.0
    ]
    assert [one.share for one in estimate_importances(np.array([[0.1]]), np.zeros(1))] == [0.0]
