"""What a surrogate learns from trainings that pause."""

from __future__ import annotations

import math

import numpy as np
import pytest

from infinito.search.evidence import Evidence
from infinito.search.rungs import Curves
from infinito.search.space.parameters import Array
from infinito.search.space.space import Float, Space
from infinito.search.surrogate.curve_fitting import CurveFitter

SPACE = Space([Float("x", 0, 1), Float("y", 0, 1)])


def make_evidence(first: Array, last: Array, rows: Array, finished: int) -> Evidence:
    """All trials have a score at the first rung, some one at the end as well."""
    count = len(rows)
    table = np.where(np.arange(count) < finished, last, first)[:, None]
    curves = Curves(
        np.concatenate([np.arange(count), np.arange(finished)]),
        np.concatenate([np.zeros(count), np.ones(finished)]),
        np.concatenate([first, last[:finished]]),
    )
    return Evidence(rows, table, np.arange(count), np.zeros(count, dtype=bool), curves)


def fit(evidence: Evidence) -> Array:
    losses = evidence.scalarise()
    return CurveFitter(SPACE).fit(evidence, losses, np.random.default_rng(0)).scores


def rows_and_bowl() -> tuple[Array, Array]:
    rows = np.random.default_rng(1).random((30, 2))
    return rows, (rows[:, 0] - 0.3) ** 2 + (rows[:, 1] - 0.6) ** 2


def test_short_trainings_that_agree_with_the_end_are_believed() -> None:
    rows, bowl = rows_and_bowl()
    expected = fit(make_evidence(bowl, bowl, rows, 10))
    assert np.corrcoef(expected[10:], bowl[10:])[0, 1] > 0.98


def test_short_trainings_that_mislead_are_not() -> None:
    """What leads after the first rung is the worst at the end."""
    rows, bowl = rows_and_bowl()
    expected = fit(make_evidence(-bowl, bowl, rows, 15))
    assert np.corrcoef(expected[15:], bowl[15:])[0, 1] > 0.8


def test_new_trials_have_fantasies_and_failed_ones_the_worst_loss() -> None:
    rows, bowl = rows_and_bowl()
    whole = make_evidence(bowl, bowl, rows, 10)
    table = np.concatenate([whole.table, [[math.nan], [math.nan]]])
    more = np.array([[0.3, 0.6], [0.9, 0.1]])
    failed = np.zeros(32, dtype=bool)
    failed[31] = True
    rows = np.concatenate([rows, more])
    evidence = Evidence(rows, table, np.arange(32), failed, whole.curves)
    fitter = CurveFitter(SPACE)
    surrogate = fitter.fit(evidence, evidence.scalarise(), np.random.default_rng(0))
    assert surrogate.scores.shape == (32, 16)
    assert surrogate.rows[-1] == pytest.approx(more[0])
    means = surrogate.predict(rows)[0]
    assert means.shape == (16, 32)
    assert means[:, 31].mean() > np.median(means.mean(axis=0)) + 1
    assert list(fitter.fits) == ["curves 38"]  # the mark before 41 scores


def test_slopes_are_those_of_the_mean() -> None:
    rows, bowl = rows_and_bowl()
    evidence = make_evidence(bowl, bowl, rows, 10)
    fitter = CurveFitter(SPACE)
    surrogate = fitter.fit(evidence, evidence.scalarise(), np.random.default_rng(0))
    at, step = np.array([[0.4, 0.5]]), 1e-5
    mean, deviation, slope, deviation_slope = surrogate.predict_slopes(at)
    for i in range(2):
        moved = at + step * np.eye(2)[i]
        ahead, wider = surrogate.predict(moved)
        assert slope[0, i] == pytest.approx((ahead - mean)[0] / step, rel=1e-2, abs=1e-3)
        difference = (wider - deviation)[0] / step
        assert deviation_slope[0, i] == pytest.approx(difference, rel=1e-2, abs=1e-3)
