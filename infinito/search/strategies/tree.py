"""The tree: a partition of the space that is learned from the trials, and the walk down to a leaf.

It is rebuilt from the list of trials whenever it is asked for, so it holds nothing that the list
does not: expansion and backpropagation are functions, not events.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infinito.search.regions import Region, index_of
from infinito.search.space.parameters import Array
from infinito.search.space.space import Space

CAPACITY = 16
"""A leaf with so many trials is full."""

SMALLEST = 4
"""Trials that each side of a split must hold."""


@dataclass
class Node:
    """A region with the trials that fell into it.

    Attributes:
        members: Indices of its trials.
        value: Mean reward of its trials, in [0, 1].
        variance: Variance of their rewards.
        split: The parameter that separates the children; None in a leaf.
        children: Two, or none.
    """

    region: Region
    depth: int
    members: NDArray[np.int64]
    value: float
    variance: float
    split: int | None = None
    children: list[Node] = field(default_factory=list)

    @property
    def visits(self) -> int:
        """How many trials are in here."""
        return len(self.members)


def grow(space: Space, rows: Array, rewards: Array, max_depth: int) -> Node:
    """The tree over these trials.

    Args:
        space: What is searched.
        rows: (trials, parameters).
        rewards: (trials,) in [0, 1], more is better.
        max_depth: Nodes at this depth are not split.
    """

    def expanded(region: Region, depth: int, members: NDArray[np.int64]) -> Node:
        mine = rewards[members]
        value, variance = (float(mine.mean()), float(mine.var())) if len(mine) else (0.5, 0.25)
        node = Node(region, depth, members, value, variance)
        if len(members) >= CAPACITY and depth < max_depth:
            parts = best_split(region, rows[members], mine)
            if parts is not None:
                node.split, *sides = parts
                node.children = [
                    expanded(side, depth + 1, members[side.holds(rows[members])]) for side in sides
                ]
        return node

    return expanded(Region.whole(space), 0, np.arange(len(rows)))


def best_split(region: Region, rows: Array, rewards: Array) -> tuple[int, Region, Region] | None:
    """The cut of one parameter that leaves the least variance of the rewards within both sides.

    Values without order are cut as if in the order of their mean rewards, which finds the best
    subset. Source: Breiman et al., Classification and Regression Trees (1984), sections 8.4, 9.4.
    """
    keys = rows.copy()
    for i, subset in enumerate(region.subsets):
        if subset is not None:
            keys[:, i] = _by_reward(index_of(rows[:, i], len(subset)), rewards)
    order = np.argsort(keys, axis=0, kind="stable")
    ranked = np.take_along_axis(keys, order, axis=0)
    count = len(rows)
    sums = np.cumsum(rewards[order], axis=0)[:-1]
    sizes = np.arange(1, count)[:, None]
    gain = sums**2 / sizes + (rewards.sum() - sums) ** 2 / (count - sizes)
    gain[(np.diff(ranked, axis=0) < 1e-9)] = -math.inf
    gain[: SMALLEST - 1] = gain[count - SMALLEST :] = -math.inf
    at, i = (int(index) for index in np.unravel_index(np.argmax(gain), gain.shape))
    if gain[at, i] == -math.inf:
        return None
    subset = region.subsets[i]
    if subset is None:
        return i, *region.cut(i, float(ranked[at, i] + ranked[at + 1, i]) / 2)
    inside = np.zeros_like(subset)
    inside[index_of(rows[keys[:, i] <= ranked[at, i], i], len(subset))] = True
    return i, *region.parted(i, inside)


def _by_reward(index: NDArray[np.int64], rewards: Array) -> Array:
    """For each trial the rank of its value's mean reward."""
    counts = np.bincount(index)
    means = np.bincount(index, rewards) / np.maximum(counts, 1)
    return np.argsort(np.argsort(means, kind="stable"), kind="stable")[index].astype(float)


def path(
    root: Node,
    selection: str,
    exploration: float,
    shares: Callable[[Node], Sequence[float] | Array] | None = None,
) -> list[Node]:
    """The nodes from the root to the leaf that the walk ends in.

    Args:
        root: Of the tree.
        selection: "ucb1", "ucb1_tuned" or "puct" (Silver et al., 2017).
        exploration: The factor c; √2 is UCB1's.
        shares: For "puct": how promising each child of a node is; they sum to 1.
    """
    walk = [root]
    while walk[-1].children:
        node = walk[-1]
        if selection == "puct" and shares is not None:
            bonus = [
                exploration * share * math.sqrt(node.visits) / (1 + child.visits)
                for share, child in zip(shares(node), node.children, strict=True)
            ]
        else:
            tuned = selection == "ucb1_tuned"
            bonus = [_ucb_bonus(c, node.visits, exploration, tuned) for c in node.children]
        scores = [child.value + more for child, more in zip(node.children, bonus, strict=True)]
        walk.append(node.children[int(np.argmax(scores))])
    return walk


def _ucb_bonus(child: Node, visits: int, exploration: float, tuned: bool) -> float:
    """Source: Auer et al., Finite-time Analysis of the Multiarmed Bandit Problem (2002), 4."""
    share = math.log(max(visits, 2)) / max(child.visits, 1)
    if not tuned:
        return exploration * math.sqrt(share)
    spread = min(0.25, child.variance + math.sqrt(2 * share))
    return exploration / math.sqrt(2) * math.sqrt(share * spread)


def describe(space: Space, root: Node, numbers: NDArray[np.int64], losses: Array) -> dict[str, Any]:
    """The tree as nested plain values; see `TreeSearch.tree`."""

    def described(node: Node, lies_in: str) -> dict[str, Any]:
        mine = node.members[(numbers[node.members] >= 0) & ~np.isnan(losses[node.members])]
        sides = _sides(space, node)
        return {
            "visits": node.visits,
            "value": node.value,
            "depth": node.depth,
            "best": int(numbers[mine[np.argmin(losses[mine])]]) if len(mine) else None,
            "split": None if node.split is None else space.names[node.split],
            "lies_in": lies_in,
            "children": [
                described(child, side) for child, side in zip(node.children, sides, strict=True)
            ],
        }

    return described(root, "")


def _sides(space: Space, node: Node) -> list[str]:
    """How each child differs from its sibling, such as `lr < 0.01` or `metric in l1, l2`."""
    if node.split is None:
        return []
    i, parameter = node.split, space.parameters[node.split]
    texts = []
    for child, sign in zip(node.children, ("<", "≥"), strict=True):
        subset = child.region.subsets[i]
        if subset is not None:
            values = parameter.decode((np.flatnonzero(subset) + 0.5) / len(subset))
            texts.append(f"{parameter.name} in {', '.join(map(str, values))}")
        else:
            value = parameter.decode(node.children[1].region.low[i : i + 1])[0]
            texts.append(f"{parameter.name} {sign} {_plain(value)}")
    return texts


def _plain(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
