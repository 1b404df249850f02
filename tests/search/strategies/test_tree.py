"""Where a region is split, and how the tree is described."""

from __future__ import annotations

import math

import numpy as np

from infinito.search.evidence import EARLIER_SEARCH
from infinito.search.scores import rank
from infinito.search.space.regions import Region
from infinito.search.space.space import Categorical, Float, Int, Space
from infinito.search.strategies.tree import describe, find_split
from infinito.search.strategies.tree_search import grow

SPACE = Space([Float("x", 0, 1), Categorical("c", ["a", "b", "d"]), Int("n", 1, 4)])


def test_the_cut_separates_best() -> None:
    """Rewards jump between 0.4 and 0.6 of x and depend on nothing else."""
    x = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9])
    rows = np.stack([x, np.full(8, 0.5), np.tile([0.125, 0.375], 4)], axis=1)
    cut = find_split(Region.whole(SPACE), rows, (x > 0.5).astype(float))
    assert cut is not None
    i, below, above = cut
    assert (i, below.high[0], above.low[0]) == (0, 0.5, 0.5)


def test_the_cut_finds_a_subset_of_values() -> None:
    """Values a and d are good, b is bad: no interval of the list parts them."""
    rows = SPACE.snap(np.random.default_rng(0).random((60, 3)))
    is_bad = (rows[:, 1] > 1 / 3) & (rows[:, 1] < 2 / 3)
    cut = find_split(Region.whole(SPACE), rows, (~is_bad).astype(np.float64))
    assert cut is not None
    assert cut[0] == 1
    assert [side.subsets[1].tolist() for side in cut[1:]] == [  # type: ignore[union-attr]
        [False, True, False],
        [True, False, True],
    ]


def test_equal_points_cannot_be_cut() -> None:
    rows = np.full((20, 3), 0.5)
    assert find_split(Region.whole(SPACE), rows, np.linspace(0, 1, 20)) is None


def test_description_is_plain() -> None:
    rows = SPACE.snap(np.random.default_rng(0).random((80, 3)))
    losses = np.abs(rows[:, 0] - 0.3)
    losses[3] = math.nan
    root = grow(SPACE, rows, rank(np.nan_to_num(losses)), 15)
    tree = describe(SPACE, root, np.arange(80), losses)
    assert (tree["visits"], tree["depth"], tree["best"]) == (80, 0, int(np.nanargmin(losses)))
    assert tree["split"] == "x"
    assert tree["children"][0]["lies_in"].startswith("x < ")
    assert sum(branch["visits"] for branch in tree["children"]) == 80


def test_trials_of_earlier_searches_are_visits_but_have_no_number() -> None:
    rows = SPACE.snap(np.random.default_rng(0).random((20, 3)))
    losses = np.arange(20.0)
    numbers = np.array([EARLIER_SEARCH] * 5 + list(range(15)))
    tree = describe(SPACE, grow(SPACE, rows, rank(losses), 15), numbers, losses)
    assert (tree["visits"], tree["best"]) == (20, 0)
