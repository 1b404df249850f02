"""Play-outs find the surrogate's best point, inside their region."""

from __future__ import annotations

import math

import numpy as np

from infinito.search.space.regions import Region
from infinito.search.surrogate.playout import Candidates
from tests.search.surrogate.evidence import SPACE, make_evidence, make_playout, with_running

WHOLE = Region.whole(SPACE)


def test_a_playout_is_better_than_thousands_of_draws() -> None:
    playout, rng = make_playout(make_evidence(30)), np.random.default_rng(0)
    found = playout.refine(playout.draw_candidates(WHOLE, rng))
    draws = SPACE.snap(rng.random((4000, 4)))
    assert playout.compute_gains(found[None])[0] > playout.compute_gains(draws).max()


def test_a_playout_stays_in_its_region() -> None:
    playout = make_playout(make_evidence(30))
    corner = WHOLE.cut(0, 0.8)[1].cut_values(2, np.array([False, True]))[0]
    candidates = playout.draw_candidates(corner, np.random.default_rng(0))
    assert len(candidates.rows) > 100
    assert corner.holds(candidates.rows).all()
    assert corner.holds(playout.refine(candidates)[None]).all()


def test_the_mean_over_fantasies_has_the_slopes_that_it_climbs() -> None:
    """The best point lies in a valley of the averaged gain, which no small step leaves upwards."""
    playout = make_playout(with_running(make_evidence(25), *make_evidence(3, seed=1).rows))
    rng = np.random.default_rng(0)
    candidates = playout.draw_candidates(WHOLE, rng)
    found = playout.refine(candidates)
    steps = np.zeros((40, 4))
    steps[:, :2] = 1e-3 * rng.standard_normal((40, 2))
    near = np.clip(found + steps, 0, 1)
    best = playout.compute_gains(found[None])[0]
    assert best > candidates.promise
    assert playout.compute_gains(near).max() < best + 1e-4


def test_candidates_are_drawn_near_the_best_trials() -> None:
    """Some lie closer to the best trial than the nearest of as many uniform draws."""
    evidence = make_evidence(30)
    playout = make_playout(evidence)
    best = evidence.rows[np.argmin(evidence.table[:, 0])]
    rng = np.random.default_rng(0)
    candidates = playout.draw_candidates(WHOLE, rng)
    uniform = SPACE.snap(rng.random((len(candidates.rows), 4)))
    distances = [np.abs(rows - best).max(axis=1).min() for rows in (candidates.rows, uniform)]
    assert distances[0] < distances[1] / 2


def test_no_candidates_promise_nothing() -> None:
    assert Candidates(WHOLE, np.empty((0, 4)), np.empty(0)).promise == -math.inf
