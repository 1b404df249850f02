"""The four phases of the tree search, each by itself and all together."""

from __future__ import annotations

import math

import numpy as np
import pytest

from infinito.search.evidence import Evidence
from infinito.search.scores import rank
from infinito.search.search import Search
from infinito.search.space.regions import Region
from infinito.search.space.sampling import Sampler
from infinito.search.space.space import Categorical, Float, Int, Space
from infinito.search.strategies.tree import SMALLEST, Node
from infinito.search.strategies.tree_search import (
    CAPACITY,
    Tree,
    TreeSearch,
    allow_shortfall,
    backpropagate,
    expand,
    grow,
    select,
    simulate,
)
from infinito.search.surrogate.playout import Candidates
from tests.search.strategies.strategy_contract import StrategyContract, play
from tests.search.surrogate.evidence import SPACE as WIDE
from tests.search.surrogate.evidence import make_evidence, make_playout, with_running

SPACE = Space([Float("x", 0, 1), Categorical("c", ["a", "b", "d"]), Int("n", 1, 4)])


class TestTreeSearch(StrategyContract):
    name = "tree"


def points(count: int) -> tuple[np.ndarray, np.ndarray]:
    rows = SPACE.snap(np.random.default_rng(0).random((count, 3)))
    return rows, rank(np.abs(rows[:, 0] - 0.3))


def list_leaves(node: Node) -> list[Node]:
    return [leaf for child in node.children for leaf in list_leaves(child)] or [node]


def list_nodes(node: Node) -> list[Node]:
    return [node, *(inner for child in node.children for inner in list_nodes(child))]


def test_a_leaf_is_split_when_it_is_full() -> None:
    rows, rewards = points(CAPACITY)
    assert not grow(SPACE, rows[:-1], rewards[:-1], 15).children
    assert len(grow(SPACE, rows, rewards, 15).children) == 2


def test_expansion_shares_the_trials_among_two_children() -> None:
    rows, rewards = points(40)
    leaf = Node(Region.whole(SPACE), 3, np.arange(5, 40))
    children = expand(leaf, rows, rewards)
    assert children is leaf.children
    assert sorted(np.concatenate([child.members for child in children])) == list(range(5, 40))
    for child in children:
        assert child.depth == 4
        assert child.region.holds(rows[child.members]).all()
        assert child.visits >= SMALLEST


def test_equal_points_are_not_expanded() -> None:
    leaf = Node(Region.whole(SPACE), 0, np.arange(20))
    assert expand(leaf, np.full((20, 3), 0.5), np.linspace(0, 1, 20)) == []
    assert leaf.split is None


def test_backpropagation_counts_a_trial_in_every_ancestor_by_hand() -> None:
    """Rewards 0, 1 | 0.5: the root's mean is 0.5, its variance (0.25 + 0.25 + 0) / 3."""
    whole = Region.whole(SPACE)
    root = Node(whole, 0, np.array([0, 1, 2]))
    root.children = [Node(whole, 1, np.array([0, 1])), Node(whole, 1, np.array([2]))]
    backpropagate(root, np.array([0.0, 1.0, 0.5]))
    assert [root.value, *(child.value for child in root.children)] == [0.5, 0.5, 0.5]
    assert root.variance == pytest.approx(1 / 6)
    assert [child.variance for child in root.children] == [0.25, 0.0]


def test_every_trial_is_counted_in_all_ancestors() -> None:
    rows, rewards = points(120)
    root = grow(SPACE, rows, rewards, 15)
    assert root.visits == 120
    for node in list_nodes(root):
        assert node.value == pytest.approx(rewards[node.members].mean())
        assert node.region.holds(rows[node.members]).all()


def test_a_node_without_trials_has_the_middle_value() -> None:
    root = grow(SPACE, np.empty((0, 3)), np.empty(0), 15)
    assert (root.visits, root.value, root.variance) == (0, 0.5, 0.25)


def test_the_leaves_are_a_partition() -> None:
    found = list_leaves(grow(SPACE, *points(120), 15))
    fresh = SPACE.snap(np.random.default_rng(1).random((300, 3)))
    holds = np.stack([leaf.region.holds(fresh) for leaf in found])  # (leaves, points)
    assert (holds.sum(axis=0) == 1).all()
    assert len(found) > 4


def test_depth_is_bounded() -> None:
    assert max(node.depth for node in list_nodes(grow(SPACE, *points(200), 3))) == 3
    assert not grow(SPACE, *points(200), 0).children


def child(value: float, visits: int, variance: float = 0.0) -> Node:
    return Node(Region.whole(SPACE), 1, np.arange(visits), value, variance)


def root_over(*children: Node) -> Node:
    node = child(0.5, sum(c.visits for c in children))
    node.children = list(children)
    return node


def test_selection_by_hand() -> None:
    """ln 40 = 3.69. c = 1: 0.6 + √(3.69/36) = 0.92 against 0.3 + √(3.69/4) = 1.26; c = 0.2:
    0.664 against 0.492."""
    root = root_over(child(0.6, 36), child(0.3, 4))
    assert select(root, "ucb1", 1.0) is root.children[1]
    assert select(root, "ucb1", 0.2) is root.children[0]


def test_selection_ends_in_a_leaf() -> None:
    root = grow(SPACE, *points(120), 15)
    leaf = select(root, "ucb1", 0.0)
    assert not leaf.children
    assert leaf.depth > 1
    alone = grow(SPACE, *points(3), 15)
    assert select(alone, "ucb1", 1.0) is alone


def test_tuned_bound_is_never_wider() -> None:
    """Of equal means and visits the child with more variance is preferred; UCB1 cannot tell."""
    root = root_over(child(0.5, 400, 0.0), child(0.5, 400, 0.2))
    assert select(root, "ucb1_tuned", math.sqrt(2)) is root.children[1]
    assert select(root, "ucb1", math.sqrt(2)) is root.children[0]


def test_puct_prefers_what_the_surrogate_promises() -> None:
    root = root_over(child(0.5, 10), child(0.5, 10))
    assert select(root, "puct", 1.0, lambda _: [0.1, 0.9]) is root.children[1]
    assert select(root, "puct", 1.0, lambda _: [0.9, 0.1]) is root.children[0]


def test_simulation_stays_in_the_leaf_unless_that_promises_too_little() -> None:
    """The leaf is a corner far from the optimum at (0.4, 0.7)."""
    playout, rng = make_playout(make_evidence(30)), np.random.default_rng(0)
    whole = Region.whole(WIDE)
    everywhere = playout.draw_candidates(whole, rng)
    corner = Node(whole.cut(0, 0.8)[1], 1, np.arange(0))
    elsewhere = simulate(playout, corner, everywhere, np.random.default_rng(1))
    assert elsewhere is not None
    assert not corner.region.holds(elsewhere[None])[0]
    hopeless = everywhere._replace(gains=everywhere.gains - 1e3)
    inside = simulate(playout, corner, hopeless, np.random.default_rng(1))
    assert inside is not None
    assert corner.region.holds(inside[None])[0]


def test_simulation_without_candidates_proposes_nothing() -> None:
    playout = make_playout(make_evidence(10))
    root = Node(Region.whole(WIDE), 0, np.arange(0))
    nothing = Candidates(root.region, np.empty((0, 4)), np.empty(0))
    assert simulate(playout, root, nothing, np.random.default_rng(0)) is None


def propose(evidence: Evidence, depth: int = 15) -> np.ndarray:
    search = TreeSearch(Sampler(WIDE, 0), "ucb1_tuned", math.sqrt(2), depth)
    row = search.propose(evidence, np.random.default_rng(0))
    assert row is not None
    return row


@pytest.mark.parametrize("depth", [0, 15])
def test_the_proposal_is_near_the_optimum(depth: int) -> None:
    row = propose(make_evidence(40), depth)
    assert np.hypot(row[0] - 0.4, row[1] - 0.7) < 0.1


def test_running_trials_are_avoided() -> None:
    """With the best proposal running, the next one is another point."""
    evidence = make_evidence(40)
    first = propose(evidence)
    running = with_running(evidence, first)
    second = propose(running)
    playout = make_playout(running)
    assert np.abs(second - first).max() > 1e-6
    assert playout.compute_gains(first[None])[0] < playout.compute_gains(second[None])[0]


def test_patience_begins_late_and_grows() -> None:
    """None up to 50 trials, one nat for each e-fold after."""
    assert allow_shortfall(10) == allow_shortfall(50) == 0
    assert allow_shortfall(200) == math.log(4)


def test_on_a_plateau_the_search_spreads_out() -> None:
    """Of 100 uniform points of a square 4 lie within .01 of an edge; the surrogate's all would."""
    search = Search(Space([Float("x", 0, 1), Float("y", 0, 1)]), seed=0)
    play(search, 100, lambda _: 1.0)
    rows = np.array([[trial.params["x"], trial.params["y"]] for trial in search.trials])
    assert (np.abs(rows - 0.5).max(axis=1) > 0.49).sum() < 12
    assert np.histogram2d(rows[:, 0], rows[:, 1], bins=3, range=[[0, 1], [0, 1]])[0].min() >= 8


def test_the_opened_path_is_that_of_the_whole_tree() -> None:
    rows, rewards = points(150)
    tree = Tree(SPACE, rows, rewards, 15)
    leaf = select(tree.root, "ucb1_tuned", math.sqrt(2), reach=tree.open)
    whole = select(grow(SPACE, rows, rewards, 15), "ucb1_tuned", math.sqrt(2))
    assert leaf.members.tolist() == whole.members.tolist()
    assert leaf.depth > 1
    assert len(list_nodes(tree.root)) < len(list_nodes(grow(SPACE, rows, rewards, 15)))
