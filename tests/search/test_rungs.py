"""Which trials go on, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from infinito.search.rungs import (
    Rungs,
    choose_promotion,
    collect_curves,
    extrapolate,
    list_hopeless,
)
from infinito.search.search import Search
from infinito.search.space.space import Float, Space
from infinito.search.trials import Trial

RUNGS = Rungs((1 / 9, 1 / 3, 1.0))


def paused(number: int, *curve: float) -> Trial:
    return Trial(number, {}, state="paused", curve=list(curve))


def test_the_best_third_goes_on_whatever_others_still_run() -> None:
    trials = [paused(0, 3.0), paused(1, 1.0)]
    assert choose_promotion(trials, 1.0, RUNGS) is None
    trials.append(paused(2, 2.0))
    assert choose_promotion(trials, 1.0, RUNGS) is trials[1]
    assert choose_promotion(trials, -1.0, RUNGS) is trials[0]
    trials[1].state = "running"
    assert choose_promotion(trials, 1.0, RUNGS) is None


def test_the_highest_rung_comes_first() -> None:
    """Of nine trials three go on, and of those one; two more wait at the first rung."""
    trials = [paused(n, float(n)) for n in range(9)]
    for trial in trials[:3]:
        trial.curve.append(9.0 - trial.number)
    assert choose_promotion(trials, 1.0, RUNGS) is trials[2]
    trials += [paused(9, -1.0), paused(10, 5.0), paused(11, 5.0)]
    assert choose_promotion(trials, 1.0, RUNGS) is trials[2]
    trials[2].state = "running"
    assert choose_promotion(trials, 1.0, RUNGS) is trials[9]


def test_at_the_end_one_goes_on_however_few_there_are() -> None:
    trials = [paused(0, 3.0), paused(1, 1.0)]
    assert choose_promotion(trials, 1.0, RUNGS, closing=True) is trials[1]
    trials[1].state = "failed"
    assert choose_promotion(trials, 1.0, RUNGS, closing=True) is trials[0]


def test_a_paused_score_changes_as_those_that_went_on_did() -> None:
    """From rung 0 to 1 the medians fall by 2, from 1 to 2 by 1."""
    trials = [
        Trial(0, {}, state="finished", curve=[5.0, 3.0, 2.0]),
        paused(1, 6.0, 4.0),
        paused(2, 9.0),
        Trial(3, {}),
        Trial(4, {}, state="failed", curve=[1.0]),
        Trial(5, {}, curve=[7.0]),
    ]
    assert extrapolate(trials, 1.0) == pytest.approx([2, 3, 6, np.nan, np.nan, 4], nan_ok=True)
    assert extrapolate(trials, -1.0)[:2] == pytest.approx([-2, -3])


def test_scores_on_the_way_have_their_place_and_the_change_to_the_end() -> None:
    """The medians fall by 2 from rung 0 to 1 and by 1 from 1 to 2; a failed trial has none."""
    trials = [
        Trial(0, {}, (2.5,), state="finished"),
        Trial(1, {}, (2.0,), state="finished", curve=[5.0, 3.0, 2.0]),
        paused(2, 9.0),
        Trial(3, {}, state="failed", curve=[1.0]),
    ]
    curves = collect_curves(trials, 1.0, RUNGS)
    assert curves.trials.tolist() == [0, 1, 1, 1, 2]
    assert curves.rungs == pytest.approx([1, 0, 0.5, 1, 0])
    assert curves.losses == pytest.approx([2.5, 2, 2, 2, 6])
    assert collect_curves([], 1.0, RUNGS).losses.shape == (0,)


def test_states_of_trials_that_cannot_go_on_are_known() -> None:
    """Of 9 trials 3 go on from the first rung and 1 from the second."""
    trials = [paused(n, float(n)) for n in range(6)]
    trials[0].curve.append(2.0)
    trials[1].curve.append(1.0)
    assert [each.number for each in list_hopeless(trials, 1.0, RUNGS, 9)] == [3, 4, 5, 0]


def play(rungs: Rungs, trials: int, strategy: str = "tree") -> tuple[Search, float]:
    """A bowl whose score falls as it is trained; returns the search and the trainings' cost."""
    space = Space([Float("x", 0.0, 1.0), Float("y", 0.0, 1.0)])
    search, cost = Search(space, rungs=rungs, strategy=strategy), 0.0
    while True:
        trial = search.promote()
        if trial is None and len(search.trials) < trials:
            (trial,) = search.ask()
        trial = trial or search.promote(closing=True)
        if trial is None:
            return search, cost
        before = rungs.shares[len(trial.curve) - 1] if trial.curve else 0.0
        share = rungs.shares[len(trial.curve)]
        cost += share - before
        bowl = (trial.params["x"] - 0.3) ** 2 + (trial.params["y"] - 0.8) ** 2
        search.tell(trial.number, bowl + 1 / share)


def test_a_search_with_rungs_finds_the_bowl_at_less_than_half_the_cost() -> None:
    search, cost = play(RUNGS, 40)
    best = search.best()
    assert best is not None
    assert best.values is not None
    assert best.values[0] < 1.01
    assert cost < 40 / 2
    states = [trial.state for trial in search.trials]
    assert states.count("finished") + states.count("paused") == 40
    assert 1 <= states.count("finished") <= 20


def test_what_is_proposed_depends_on_the_trials_alone() -> None:
    search, _ = play(RUNGS, 24)
    again = Search(search.space, rungs=RUNGS, trials=search.trials, fits=search.fits)
    assert again.ask()[0].params == search.ask()[0].params


def test_a_paused_trial_is_no_failed_one() -> None:
    """Its loss is what its score makes expect, not the worst of all."""
    search = Search(Space([Float("x", 0.0, 1.0)]), rungs=RUNGS)
    for score in (3.0, 1.0, 2.0):
        search.tell(search.ask()[0].number, score)
    search.tell(search.ask()[0].number, error="boom")
    evidence = search._collect_evidence()
    assert evidence.losses[:, 0] == pytest.approx([3.0, 1.0, 2.0, 3.0])
    assert evidence.failed.tolist() == [False, False, False, True]
