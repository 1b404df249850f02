"""Plain UCT: one node a trial, every option once before any twice."""

from __future__ import annotations

import math

import numpy as np

from infinito.search.space.sampling import Sampler
from infinito.search.space.space import Categorical, Float, Space
from infinito.search.strategies.uct import STEPS, UCT
from tests.search.strategies.strategy_contract import StrategyContract

SPACE = Space([Categorical("c", ["a", "b", "d"]), Float("x", 0, 1)])


class TestUCT(StrategyContract):
    name = "uct"


def played(count: int, seed: int = 0) -> list[dict]:
    """UCT on the reward 1 for c = b and x near 0.7, less elsewhere."""
    search = UCT(Sampler(SPACE, 0), math.sqrt(2), 15)
    rng = np.random.default_rng(seed)
    rows, rewards = np.empty((0, 2)), list[float]()
    for _ in range(count):
        row = search.search(rows, np.array(rewards), rng)
        assert row is not None
        values = SPACE.decode(row)
        rows = np.concatenate([rows, row[None]])
        rewards.append((values["c"] == "b") * (1 - abs(values["x"] - 0.7)))
    return [SPACE.decode(row) for row in rows]


def test_values_are_cut_into_steps() -> None:
    assert len({point["x"] for point in played(100)}) == STEPS


def test_every_value_is_tried_before_any_is_tried_again() -> None:
    assert {point["c"] for point in played(3)} == {"a", "b", "d"}


def test_it_learns_where_to_look() -> None:
    later = played(120)[60:]
    assert np.mean([point["c"] == "b" for point in later]) > 0.6
    assert np.mean([point["x"] == 0.7 for point in later if point["c"] == "b"]) > 0.3


def test_conditions_are_kept() -> None:
    space = Space(SPACE.parameters, ["x > 0.6 or c == 'a'"])
    search = UCT(Sampler(space, 0), math.sqrt(2), 15)
    rng = np.random.default_rng(0)
    for _ in range(20):
        row = search.search(np.empty((0, 2)), np.empty(0), rng)
        assert row is not None
        assert space.contains(space.decode(row))


def test_conditions_that_few_points_keep_are_kept() -> None:
    """One in 125 does: where no walk leads to it, nothing is proposed."""
    space = Space([Categorical(name, list("abcde")) for name in "xyz"], ["x == y == z == 'c'"])
    search, rng = UCT(Sampler(space, 0), math.sqrt(2), 15), np.random.default_rng(0)
    assert space.table is not None
    rows, rewards = space.table.repeat(3, axis=0), np.full(3, 0.5)
    found = [search.search(rows, rewards, rng) for _ in range(30)]
    assert any(row is None for row in found)
    assert all(space.is_feasible(row[None])[0] for row in found if row is not None)
