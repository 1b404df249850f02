"""Surrogates depend on the evidence alone; running trials have fantasies."""

from __future__ import annotations

import json

import numpy as np
import pytest

from infinito.search.scores import normalise
from infinito.search.surrogate import fitting
from infinito.search.surrogate.fitting import (
    FANTASIES,
    FEWEST,
    MOST,
    Fits,
    SurrogateFitter,
    choose_informative,
    round_to_mark,
)
from tests.search.surrogate.evidence import SPACE, make_evidence, make_playout, with_running


def test_hyper_parameters_do_not_depend_on_when_they_were_fitted() -> None:
    evidence = make_evidence(60)
    step_by_step = SurrogateFitter(SPACE)
    for count in range(10, 61):
        first = evidence.take_first(count)
        step_by_step.fit(first, first.scalarise(), np.random.default_rng(count))
    mark = round_to_mark(60)
    expected = SurrogateFitter(SPACE)._fit_theta(evidence, mark)
    assert (step_by_step._fit_theta(evidence, mark) == expected).all()


def test_marks_by_hand() -> None:
    """20, then ⌈20 · 1.08⌉ = 22, ⌈22 · 1.08⌉ = 24, 26, 29, …"""
    found = [round_to_mark(n) for n in (7, 20, 21, 22, 23, 25, 28, 29)]
    assert found == [7, 20, 20, 22, 22, 24, 26, 29]


def test_a_good_point_that_is_running_has_good_fantasies() -> None:
    evidence = make_evidence(40)
    good = np.array([0.4, 0.7, 0.25, 0.375])
    surrogate = make_playout(with_running(evidence, good)).surrogate
    assert surrogate.scores.shape == (41, FANTASIES)
    expected = np.quantile(normalise(evidence.table[:, 0]), 0.1)
    assert surrogate.scores[-1].mean() < expected


def test_of_many_trials_the_better_half_and_a_spread_of_the_others_are_learnt_from() -> None:
    scores = np.random.default_rng(0).permutation(1000).astype(float)
    chosen = choose_informative(scores)
    assert len(set(chosen)) == len(chosen) == MOST
    assert (np.diff(chosen) > 0).all()
    assert set(np.flatnonzero(scores < MOST // 2)) <= set(chosen)
    others = chosen[scores[chosen] >= MOST // 2]
    assert np.histogram(others, bins=4, range=(0, 1000))[0].min() > MOST // 10


def test_up_to_the_limit_all_trials_are_learnt_from() -> None:
    assert (choose_informative(np.zeros(MOST)) == np.arange(MOST)).all()


def test_fits_that_are_handed_on_are_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    evidence = make_evidence(60)
    fits: Fits = {}
    surrogate = SurrogateFitter(SPACE, fits).fit(
        evidence, evidence.scalarise(), np.random.default_rng(0)
    )
    monkeypatch.setattr(fitting, "fit_theta", None)  # a call would raise
    again = SurrogateFitter(SPACE, json.loads(json.dumps(fits))).fit(
        evidence, evidence.scalarise(), np.random.default_rng(0)
    )
    assert (again.weights == surrogate.weights).all()


def test_a_later_failure_or_worse_score_leaves_earlier_fits_alone() -> None:
    """A failed trial counts as the worst so far, in a fit to the first trials of the first ones."""
    evidence = make_evidence(50)
    evidence.table[10], evidence.failed[10] = np.nan, True
    fits: Fits = {}
    first = evidence.take_first(30)
    SurrogateFitter(SPACE, fits).fit(first, first.scalarise(), np.random.default_rng(0))
    before = set(fits)
    evidence.table[40] = 1e3
    SurrogateFitter(SPACE, fits).fit(evidence, evidence.scalarise(), np.random.default_rng(0))
    assert before < set(fits)
    assert len(fits) == len([n for n in range(FEWEST, 51) if round_to_mark(n) == n])
