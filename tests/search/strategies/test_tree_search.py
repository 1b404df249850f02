"""One step of the search: play-outs find the surrogate's best point, leaves get their turn."""

from __future__ import annotations

import math

import numpy as np

from infinito.search.evidence import Evidence
from infinito.search.regions import Region
from infinito.search.scores import normalised
from infinito.search.space.parameters import Array
from infinito.search.space.sampling import Sampler
from infinito.search.space.space import Categorical, Float, Int, Space
from infinito.search.strategies.tree_search import FANTASIES, Planner, _mark, patience
from infinito.search.surrogate.playout import Playout
from infinito.search.trials import Trial

SPACE = Space([Float("x", 0, 1), Float("y", 0, 1), Categorical("c", ["a", "b"]), Int("n", 1, 4)])


def evidence(count: int, seed: int = 0) -> Evidence:
    rows = SPACE.snapped(np.random.default_rng(seed).random((count, 4)))
    losses = (rows[:, 0] - 0.4) ** 2 + (rows[:, 1] - 0.7) ** 2 + 0.3 * (rows[:, 2] > 0.5)
    return Evidence(rows, losses[:, None], np.arange(count))


def planner(depth: int = 15) -> Planner:
    return Planner(Sampler(SPACE, 0), "ucb1_tuned", math.sqrt(2), depth)


def playout(seen: Evidence) -> Playout:
    found = planner()._surrogate(seen, seen.losses(), np.random.default_rng(0))
    return Playout(found, Sampler(SPACE, 0))


def test_a_playout_is_better_than_thousands_of_draws() -> None:
    seen = evidence(30)
    whole, rng = Region.whole(SPACE), np.random.default_rng(0)
    leaders = seen.rows[np.argsort(seen.losses())[:5]]
    play = playout(seen)
    found = play.best(whole, *play.candidates(whole, leaders, rng))
    draws = SPACE.snapped(rng.random((4000, 4)))
    assert play.gains(found[None])[0] > play.gains(draws).max()


def test_a_playout_stays_in_its_region() -> None:
    seen = evidence(30)
    play = playout(seen)
    corner = Region.whole(SPACE).cut(0, 0.8)[1].parted(2, np.array([False, True]))[0]
    rows, gains = play.candidates(corner, seen.rows[:0], np.random.default_rng(0))
    assert corner.holds(rows).all()
    assert corner.holds(play.best(corner, rows, gains)[None]).all()


def test_the_proposal_is_near_the_optimum() -> None:
    row = planner().propose(evidence(40), np.random.default_rng(0))
    assert row is not None
    assert np.hypot(row[0] - 0.4, row[1] - 0.7) < 0.1


def with_running(seen: Evidence, *rows: Array) -> Evidence:
    return Evidence(
        np.concatenate([seen.rows, rows]),
        np.concatenate([seen.table, np.full((len(rows), 1), math.nan)]),
        np.arange(len(seen.rows) + len(rows)),
    )


def test_running_trials_are_fantasised_and_avoided() -> None:
    """With the best proposal running, the next one is another point."""
    seen = evidence(40)
    first = planner().propose(seen, np.random.default_rng(0))
    assert first is not None
    running = with_running(seen, first)
    play = playout(running)
    assert play.surrogate.scores.shape == (41, FANTASIES)
    expected = np.quantile(normalised(seen.table[:, 0]), 0.1)
    assert play.surrogate.scores[-1].mean() < expected
    second = planner().propose(running, np.random.default_rng(0))
    assert second is not None
    assert np.abs(second - first).max() > 1e-6
    assert play.gains(first[None])[0] < play.gains(second[None])[0]


def test_the_mean_over_fantasies_has_the_slopes_that_it_climbs() -> None:
    """The best point lies in a valley of the averaged gain, which no small step leaves upwards."""
    seen = with_running(evidence(25), *evidence(3, seed=1).rows)
    play = playout(seen)
    whole, rng = Region.whole(SPACE), np.random.default_rng(0)
    rows, gains = play.candidates(whole, seen.rows[:0], rng)
    found = play.best(whole, rows, gains)
    steps = np.zeros((40, 4))
    steps[:, :2] = 1e-3 * rng.standard_normal((40, 2))
    near = np.clip(found + steps, 0, 1)
    assert play.gains(found[None])[0] > gains.max()
    assert play.gains(near).max() < play.gains(found[None])[0] + 1e-4


def test_hyper_parameters_do_not_depend_on_when_they_were_asked_for() -> None:
    seen = evidence(60)
    step_by_step = planner()
    for count in range(10, 61):
        step_by_step.propose(seen.first(count), np.random.default_rng(count))
    mark = _mark(60)
    assert (step_by_step._theta(seen, mark) == planner()._theta(seen, mark)).all()


def test_marks_by_hand() -> None:
    """20, then ⌈20 · 1.08⌉ = 22, ⌈22 · 1.08⌉ = 24, 26, 29, …"""
    assert [_mark(n) for n in (7, 20, 21, 22, 23, 25, 28, 29)] == [7, 20, 20, 22, 22, 24, 26, 29]


def test_patience_begins_late_and_grows() -> None:
    """None up to 50 trials, one nat for each e-fold after."""
    assert patience(10) == patience(50) == 0
    assert patience(200) == math.log(4)


def test_without_depth_there_is_no_leaf() -> None:
    seen = evidence(60)
    nothing = np.empty((0, 4)), np.empty(0)
    assert planner(0)._leaf(seen.rows, seen.losses(), *nothing) is None
    leaf = planner()._leaf(seen.rows, seen.losses(), *nothing)
    assert leaf is not None
    assert leaf.holds(seen.rows).sum() < 20


def test_scores_that_are_no_numbers_count_as_failures() -> None:
    """A finished trial of NaN, from a table of earlier trials, has the worst loss and not none."""
    trials = [
        Trial(0, {}, (3.0,), "finished"),
        Trial(1, {}, (math.nan,), "finished"),
        Trial(2, {}, None, "failed"),
        Trial(3, {}, None, "running"),
    ]
    losses = Evidence.of(np.zeros((4, 1)), trials[:2], trials[2:], [1.0]).losses()
    assert losses[:3].tolist() == [3.0, 3.0, 3.0]
    assert math.isnan(losses[3])
