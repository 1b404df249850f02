"""Regions: what lies in them, drawing from them, cutting them."""

from __future__ import annotations

import numpy as np

from infinito.search.space.regions import Region
from infinito.search.space.space import Categorical, Float, Int, Space

SPACE = Space([Float("x", 0, 1), Categorical("c", ["a", "b", "d"]), Int("n", 1, 4)])
FRESH = SPACE.snap(np.random.default_rng(0).random((300, 3)))


def test_the_whole_holds_everything() -> None:
    assert Region.whole(SPACE).holds(FRESH).all()


def test_cuts_are_two_parts() -> None:
    below, above = Region.whole(SPACE).cut(0, 0.3)
    assert below.holds(FRESH).tolist() == (FRESH[:, 0] <= 0.3).tolist()
    assert (below.holds(FRESH) ^ above.holds(FRESH)).all()
    some, others = below.cut_values(1, np.array([True, False, True]))
    values = [point["c"] for point in map(SPACE.decode, FRESH[some.holds(FRESH)])]
    assert set(values) == {"a", "d"}
    assert (some.holds(FRESH) ^ others.holds(FRESH)).tolist() == below.holds(FRESH).tolist()


def test_draws_stay_inside_and_reach_all_of_it() -> None:
    region = Region.whole(SPACE).cut(0, 0.3)[1].cut_values(1, np.array([True, False, True]))[0]
    drawn = SPACE.snap(region.stretch(np.random.default_rng(1).random((300, 3))))
    assert region.holds(drawn).all()
    assert drawn[:, 0].min() < 0.33
    assert drawn[:, 0].max() > 0.97
    assert {SPACE.decode(row)["c"] for row in drawn} == {"a", "d"}
    assert {SPACE.decode(row)["n"] for row in drawn} == {1, 2, 3, 4}
