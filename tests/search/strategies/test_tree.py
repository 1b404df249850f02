"""The learned partition: where it cuts, what it counts, which way the walk goes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from infinito.search.regions import Region
from infinito.search.scores import ranks
from infinito.search.space.space import Categorical, Float, Int, Space
from infinito.search.strategies.tree import (
    CAPACITY,
    SMALLEST,
    Node,
    best_split,
    describe,
    grow,
    path,
)

SPACE = Space([Float("x", 0, 1), Categorical("c", ["a", "b", "d"]), Int("n", 1, 4)])


def evidence(count: int) -> tuple[np.ndarray, np.ndarray]:
    rows = SPACE.snapped(np.random.default_rng(0).random((count, 3)))
    return rows, np.abs(rows[:, 0] - 0.3)


def leaves(node: Node) -> list[Node]:
    return [leaf for child in node.children for leaf in leaves(child)] or [node]


def nodes(node: Node) -> list[Node]:
    return [node, *(inner for child in node.children for inner in nodes(child))]


def test_a_leaf_splits_when_it_is_full() -> None:
    rows, losses = evidence(CAPACITY)
    assert not grow(SPACE, rows[:-1], ranks(losses[:-1]), 15).children
    assert len(grow(SPACE, rows, ranks(losses), 15).children) == 2


def test_every_trial_is_counted_in_all_ancestors() -> None:
    rows, losses = evidence(120)
    rewards = ranks(losses)
    root = grow(SPACE, rows, rewards, 15)
    assert root.visits == 120
    for node in nodes(root):
        assert node.value == pytest.approx(rewards[node.members].mean())
        assert node.region.holds(rows[node.members]).all()
        if node.children:
            assert sorted(np.concatenate([c.members for c in node.children])) == sorted(
                node.members
            )
            assert min(child.visits for child in node.children) >= SMALLEST


def test_the_leaves_are_a_partition() -> None:
    rows, losses = evidence(120)
    found = leaves(grow(SPACE, rows, ranks(losses), 15))
    fresh = SPACE.snapped(np.random.default_rng(1).random((300, 3)))
    assert (sum(leaf.region.holds(fresh).astype(int) for leaf in found) == 1).all()
    assert len(found) > 4


def test_depth_is_bounded() -> None:
    rows, losses = evidence(200)
    assert max(node.depth for node in nodes(grow(SPACE, rows, ranks(losses), 3))) == 3
    assert not grow(SPACE, rows, ranks(losses), 0).children


def test_the_cut_separates_best() -> None:
    """Rewards jump between 0.4 and 0.6 of x and depend on nothing else."""
    x = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9])
    rows = np.stack([x, np.full(8, 0.5), np.tile([0.125, 0.375], 4)], axis=1)
    cut = best_split(Region.whole(SPACE), rows, (x > 0.5).astype(float))
    assert cut is not None
    i, below, above = cut
    assert (i, below.high[0], above.low[0]) == (0, 0.5, 0.5)


def test_the_cut_finds_a_subset_of_values() -> None:
    """Values a and d are good, b is bad: no interval of the list parts them."""
    rows = SPACE.snapped(np.random.default_rng(0).random((60, 3)))
    is_bad = (rows[:, 1] > 1 / 3) & (rows[:, 1] < 2 / 3)
    cut = best_split(Region.whole(SPACE), rows, 1.0 - is_bad)
    assert cut is not None
    assert cut[0] == 1
    assert [side.subsets[1].tolist() for side in cut[1:]] == [  # type: ignore[union-attr]
        [False, True, False],
        [True, False, True],
    ]


def test_equal_points_cannot_be_cut() -> None:
    rows = np.full((20, 3), 0.5)
    assert best_split(Region.whole(SPACE), rows, np.linspace(0, 1, 20)) is None


def child(value: float, visits: int, variance: float = 0.0) -> Node:
    return Node(Region.whole(SPACE), 1, np.arange(visits), value, variance)


def root_over(*children: Node) -> Node:
    node = child(0.5, sum(c.visits for c in children))
    node.children = list(children)
    return node


def test_ucb_by_hand() -> None:
    """ln 40 = 3.69. c = 1: 0.6 + √(3.69/36) = 0.92 against 0.3 + √(3.69/4) = 1.26; c = 0.2:
    0.664 against 0.492."""
    root = root_over(child(0.6, 36), child(0.3, 4))
    assert path(root, "ucb1", 1.0)[-1] is root.children[1]
    assert path(root, "ucb1", 0.2)[-1] is root.children[0]


def test_tuned_bound_is_never_wider() -> None:
    """Of equal means and visits the child with more variance is preferred; UCB1 cannot tell."""
    root = root_over(child(0.5, 400, 0.0), child(0.5, 400, 0.2))
    assert path(root, "ucb1_tuned", math.sqrt(2))[-1] is root.children[1]
    assert path(root, "ucb1", math.sqrt(2))[-1] is root.children[0]


def test_puct_prefers_what_the_surrogate_promises() -> None:
    root = root_over(child(0.5, 10), child(0.5, 10))
    assert path(root, "puct", 1.0, lambda _: [0.1, 0.9])[-1] is root.children[1]
    assert path(root, "puct", 1.0, lambda _: [0.9, 0.1])[-1] is root.children[0]


def test_description_is_plain() -> None:
    rows, losses = evidence(80)
    losses[3] = math.nan
    tree = describe(
        SPACE, grow(SPACE, rows, ranks(np.nan_to_num(losses)), 15), np.arange(80), losses
    )
    assert (tree["visits"], tree["depth"], tree["best"]) == (80, 0, int(np.nanargmin(losses)))
    assert tree["split"] == "x"
    assert tree["children"][0]["lies_in"].startswith("x < ")
    assert sum(branch["visits"] for branch in tree["children"]) == 80
