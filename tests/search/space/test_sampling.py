"""Draws: even, feasible, repeatable, never what has been tried."""

from __future__ import annotations

import numpy as np
import pytest

from infinito.search.space.sampling import Sampler, exclude
from infinito.search.space.space import Categorical, Float, Int, Space

SQUARE = Space([Float("x", 0, 1), Float("y", 0, 1)])
BOUND = Space([Int("dim", 1, 8), Float("x", 0, 1)], ["dim % 3 == 0"])


def test_the_start_is_even() -> None:
    """Each of 16 squares holds one of the first 16 points of a Sobol sequence."""
    rows = Sampler(SQUARE, 0).design(16)
    cells = np.floor(rows * 4).astype(int) @ [4, 1]
    assert sorted(cells) == list(range(16))
    assert not np.allclose(rows, Sampler(SQUARE, 1).design(16))


def test_the_start_holds_defaults_first_and_nothing_twice() -> None:
    space = Space([Categorical("c", ["a", "b"]), Int("n", 1, 3)])
    rows = Sampler(space, 0, [{"c": "b", "n": 2}]).design(100)
    assert space.decode(rows[0]) == {"c": "b", "n": 2}
    assert len(rows) == len(np.unique(rows, axis=0)) == 6


def test_draws_keep_conditions() -> None:
    sampler = Sampler(BOUND, 0)
    rows = sampler.draw_uniform(np.random.default_rng(0), 50)
    assert {BOUND.decode(row)["dim"] for row in rows} == {3, 6}
    assert BOUND.is_feasible(sampler.design(20)).all()


def test_what_is_left_of_a_small_space() -> None:
    space = Space([Int("n", 1, 5)])
    tried = np.array([space.encode({"n": n}) for n in (1, 2, 4)])
    left = Sampler(space, 0).draw_untried(np.random.default_rng(0), 10, tried)
    assert sorted(space.decode(row)["n"] for row in left) == [3, 5]


def test_without_forgives_rounding() -> None:
    rows = np.array([[0.1, 0.2], [0.3, 0.4]])
    assert exclude(rows, rows[:1] + 1e-13).tolist() == [[0.3, 0.4]]
    assert len(exclude(rows, np.empty((0, 2)))) == 2


def test_each_trial_has_its_own_generator() -> None:
    sampler = Sampler(SQUARE, 0)
    first = sampler.make_generator(3).random()
    assert sampler.make_generator(3).random() == first
    assert sampler.make_generator(4).random() != pytest.approx(first)


def test_a_spread_goes_on_where_the_start_ends() -> None:
    """Points of the Sobol sequence in its order, longer than the first part of it."""
    sampler = Sampler(SQUARE, 0)
    tried = sampler.design(300)
    assert len(tried) == 256
    found = []
    for _ in range(3):
        row = sampler.spread(tried)
        assert row is not None
        found.append(row)
        tried = np.concatenate([tried, row[None]])
    assert len(np.unique(tried, axis=0)) == 259
    again = Sampler(SQUARE, 0).spread(sampler.design(256))
    assert again is not None
    assert np.array_equal(again, found[0])


def test_a_spread_of_a_small_space_ends() -> None:
    space = Space([Categorical("c", ["a", "b"])])
    sampler = Sampler(space, 0)
    assert space.table is not None
    assert sampler.spread(space.table) is None
