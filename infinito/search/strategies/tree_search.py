"""Monte Carlo tree search over a space: selection, expansion, simulation, backpropagation.

The tree is a partition of the space learned from the trials. It is rebuilt from the list of trials
at every proposal, so it holds nothing that the list does not. One walk (`select`) opens the nodes
that it comes to: `expand` splits them, `backpropagate` counts the trials in the parts. It ends in
the leaf whose surrogate is played out (`simulate`), and the point that comes out is evaluated as
the next trial.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from infinito.search.evidence import Evidence, compute_rewards
from infinito.search.scores import is_plateau
from infinito.search.space.parameters import Array
from infinito.search.space.regions import Region
from infinito.search.space.sampling import Sampler
from infinito.search.space.space import Space
from infinito.search.strategies.tree import Node, find_split
from infinito.search.surrogate.curve_fitting import CurveFitter
from infinito.search.surrogate.fitting import Fits, SurrogateFitter
from infinito.search.surrogate.hyperparameters import EXACT, NOISY
from infinito.search.surrogate.playout import Candidates, Playout

SELECTIONS = ("ucb1_tuned", "ucb1", "puct")

CAPACITY = 16
"""Trials that make a leaf full."""

PATIENCE, PATIENT_FROM = 1.0, 50
"""Nats by which a leaf may promise less than the whole space, per e-fold of trials beyond 50."""


class TreeSearch:
    """Propose points by one walk down the tree and a play-out of the leaf that it ends in.

    Args:
        sampler: Draws points of the space.
        selection: One of `SELECTIONS`; see `select`.
        exploration: The factor c of the confidence bound; see `select`.
        max_depth: Nodes at this depth are not split.
        fits: Hyper-parameters of the surrogate that were fitted before; new ones are added.
        is_noisy: Whether another seed would change the scores.
        replicates: Whether to propose a point with a trial again where that is worth more.
        learns_curves: Whether trials pause on their way, so that they have curves.
    """

    initial_points = 8

    def __init__(
        self,
        sampler: Sampler,
        selection: str,
        exploration: float,
        max_depth: int,
        fits: Fits | None = None,
        is_noisy: bool = False,
        replicates: bool = False,
        learns_curves: bool = False,
    ) -> None:
        self.sampler = sampler
        self.selection = selection
        self.exploration = exploration
        self.max_depth = max_depth
        self.is_noisy = is_noisy
        self.replicates = replicates
        prior = NOISY if is_noisy else EXACT
        self._fitter: SurrogateFitter | CurveFitter
        if learns_curves:
            self._fitter = CurveFitter(sampler.space, fits)
        else:
            self._fitter = SurrogateFitter(sampler.space, fits, prior)

    def propose(self, evidence: Evidence, rng: np.random.Generator) -> Array | None:
        """Return the next point, or None where no candidate is left; see `Strategy.propose`."""
        losses = evidence.scalarise(rng)
        if is_plateau(losses[evidence.is_known]):
            return self.sampler.spread(evidence.rows)
        surrogate = self._fitter.fit(evidence, losses, rng)
        playout = Playout(surrogate, self.sampler, evidence.rows, self.is_noisy)
        tree = Tree(self.sampler.space, evidence.rows, compute_rewards(losses), self.max_depth)
        everywhere = playout.draw_candidates(tree.root.region, rng)
        promises = _compare_promises(everywhere)
        leaf = select(tree.root, self.selection, self.exploration, promises, tree.open)
        fresh = simulate(playout, leaf, everywhere, rng)
        again = None
        if self.replicates:
            again = playout.find_repeat(fresh, evidence.rows[evidence.is_known])
        return fresh if again is None else again


class Tree:
    """The tree over all trials, of which only the nodes that are opened exist.

    Args:
        space: What is searched.
        rows: (trials, parameters).
        rewards: (trials,) in [0, 1], more is better.
        max_depth: Nodes at this depth are not split.

    Attributes:
        root: A leaf, until it is opened.
    """

    def __init__(self, space: Space, rows: Array, rewards: Array, max_depth: int) -> None:
        self.rows = rows
        self.rewards = rewards
        self.max_depth = max_depth
        self.root = Node(Region.whole(space), 0, np.arange(len(rows)))
        backpropagate(self.root, rewards)

    def open(self, node: Node) -> None:
        """Expand a full leaf and back up the rewards of the children."""
        if not node.children and node.visits >= CAPACITY and node.depth < self.max_depth:
            for child in expand(node, self.rows, self.rewards):
                backpropagate(child, self.rewards)


def grow(space: Space, rows: Array, rewards: Array, max_depth: int) -> Node:
    """Build the whole tree over all trials: open leaves until none is full.

    Args:
        space: What is searched.
        rows: (trials, parameters).
        rewards: (trials,) in [0, 1], more is better.
        max_depth: Nodes at this depth are not split.
    """
    tree = Tree(space, rows, rewards, max_depth)
    nodes = [tree.root]
    for node in nodes:  # grows while it is walked
        tree.open(node)
        nodes += node.children
    return tree.root


def select(
    root: Node,
    rule: str,
    exploration: float,
    promises: Callable[[Node], Sequence[float] | Array] | None = None,
    reach: Callable[[Node], None] | None = None,
) -> Node:
    """Selection: descend from the root to a leaf, always to the child of the greatest bound.

    Args:
        root: The whole tree.
        rule: "ucb1", "ucb1_tuned" (Auer et al., 2002) or "puct" (Silver et al., 2017).
        exploration: The factor c; √2 is UCB1's.
        promises: For "puct": the prior of each child of a node; they sum to 1.
        reach: Called with each node that the walk comes to; it may give the node children.
    """
    node = root
    while True:
        if reach is not None:
            reach(node)
        if not node.children:
            return node
        if rule == "puct" and promises is not None:
            bonuses = [
                exploration * promise * math.sqrt(node.visits) / (1 + child.visits)
                for promise, child in zip(promises(node), node.children, strict=True)
            ]
        else:
            bonuses = [
                _ucb_bonus(child, node.visits, exploration, tuned=rule == "ucb1_tuned")
                for child in node.children
            ]
        bounds = [child.value + more for child, more in zip(node.children, bonuses, strict=True)]
        node = node.children[int(np.argmax(bounds))]


def expand(leaf: Node, rows: Array, rewards: Array) -> list[Node]:
    """Expansion: split a leaf in two where that separates good from bad trials best.

    Args:
        leaf: Gets the children.
        rows: (trials, parameters): all trials of the search.
        rewards: (trials,): theirs.

    Returns:
        The children; none where no split is allowed.
    """
    mine = rows[leaf.members]
    found = find_split(leaf.region, mine, rewards[leaf.members])
    if found is not None:
        leaf.split, *sides = found
        leaf.children = [
            Node(side, leaf.depth + 1, leaf.members[side.holds(mine)]) for side in sides
        ]
    return leaf.children


def simulate(
    playout: Playout, leaf: Node, everywhere: Candidates, rng: np.random.Generator
) -> Array | None:
    """Simulation: play the surrogate out in the leaf, and return the best point that it finds.

    A leaf that promises much less than the whole space leaves the play-out to the whole space.

    Args:
        playout: Of the surrogate.
        leaf: Where the walk ended; a root alone is the whole space.
        everywhere: Candidates of the whole space.
        rng: For the leaf's candidates.

    Returns:
        (parameters,), or None where there is no candidate.
    """
    if leaf.depth > 0:
        here = playout.draw_candidates(leaf.region, rng)
        trials = len(playout.tried)
        if len(here.rows) and here.promise >= everywhere.promise - allow_shortfall(trials):
            return playout.refine(here)
    return playout.refine(everywhere) if len(everywhere.rows) else None


def backpropagate(root: Node, rewards: Array) -> None:
    """Backpropagation: count each trial's reward in its leaf and in every ancestor of that.

    Args:
        root: The whole tree; every node's value and variance is set.
        rewards: (trials,) in [0, 1].
    """
    if root.visits:
        mine = rewards[root.members]
        root.value, root.variance = float(mine.mean()), float(mine.var())
    for child in root.children:
        backpropagate(child, rewards)


def allow_shortfall(trials: int) -> float:
    """Return by how many nats a leaf may promise less than the whole space and be played."""
    return PATIENCE * math.log(max(trials / PATIENT_FROM, 1.0))


def _ucb_bonus(child: Node, visits: int, exploration: float, tuned: bool) -> float:
    """Source: Auer et al., Finite-time Analysis of the Multiarmed Bandit Problem (2002), 4."""
    share = math.log(max(visits, 2)) / max(child.visits, 1)
    if not tuned:
        return exploration * math.sqrt(share)
    spread = min(0.25, child.variance + math.sqrt(2 * share))
    return exploration / math.sqrt(2) * math.sqrt(share * spread)


def _compare_promises(everywhere: Candidates) -> Callable[[Node], Array]:
    """Return a function that shares 1 among a node's children by their best candidates."""

    def compare(node: Node) -> Array:
        """(children,)."""
        best = np.array(
            [
                everywhere.gains[child.region.holds(everywhere.rows)].max(initial=-1e3)
                for child in node.children
            ]
        )
        shares: Array = np.exp(best - best.max()) / np.exp(best - best.max()).sum()
        return shares

    return compare
