"""Surrogates depend on the evidence alone; running trials have fantasies."""

from __future__ import annotations

import numpy as np

from infinito.search.scores import normalise
from infinito.search.surrogate.fitting import FANTASIES, SurrogateFitter, _round_to_mark
from tests.search.surrogate.evidence import SPACE, make_evidence, make_playout, with_running


def test_hyper_parameters_do_not_depend_on_when_they_were_fitted() -> None:
    evidence = make_evidence(60)
    step_by_step = SurrogateFitter(SPACE)
    for count in range(10, 61):
        first = evidence.take_first(count)
        step_by_step.fit(first, first.scalarise(), np.random.default_rng(count))
    mark = _round_to_mark(60)
    expected = SurrogateFitter(SPACE)._fit_theta(evidence, mark)
    assert (step_by_step._fit_theta(evidence, mark) == expected).all()


def test_marks_by_hand() -> None:
    """20, then ⌈20 · 1.08⌉ = 22, ⌈22 · 1.08⌉ = 24, 26, 29, …"""
    found = [_round_to_mark(n) for n in (7, 20, 21, 22, 23, 25, 28, 29)]
    assert found == [7, 20, 20, 22, 22, 24, 26, 29]


def test_a_good_point_that_is_running_has_good_fantasies() -> None:
    evidence = make_evidence(40)
    good = np.array([0.4, 0.7, 0.25, 0.375])
    surrogate = make_playout(with_running(evidence, good)).surrogate
    assert surrogate.scores.shape == (41, FANTASIES)
    expected = np.quantile(normalise(evidence.table[:, 0]), 0.1)
    assert surrogate.scores[-1].mean() < expected
