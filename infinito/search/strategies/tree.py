"""The tree's data: nodes over regions of the space, where to split one, and how to describe it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infinito.search.evidence import EARLIER_SEARCH
from infinito.search.space.parameters import Array
from infinito.search.space.regions import Region, find_indices
from infinito.search.space.space import Space

SMALLEST = 4
"""Fewest trials on each side of a split."""

NO_SPLIT = -math.inf
"""Gain of a cut that is not allowed."""


@dataclass
class Node:
    """A region of the space with the trials that lie in it.

    Attributes:
        members: Indices of its trials.
        value: Mean reward of its trials, in [0, 1]; without trials the middle of the range.
        variance: Variance of their rewards; without trials the largest that [0, 1] allows.
        split: Index of the parameter that separates the children; None in a leaf.
        children: Two, or none.
    """

    region: Region
    depth: int
    members: NDArray[np.int64]
    value: float = 0.5
    variance: float = 0.25
    split: int | None = None
    children: list[Node] = field(default_factory=list)

    @property
    def visits(self) -> int:
        """How many trials lie in it."""
        return len(self.members)


def find_split(region: Region, rows: Array, rewards: Array) -> tuple[int, Region, Region] | None:
    """Find the cut of one parameter that leaves the least variance of rewards within both sides.

    Values without order are sorted by their mean rewards before the cut, which finds the best
    subset. Source: Breiman et al., Classification and Regression Trees (1984), sections 8.4, 9.4.

    Args:
        region: What is split.
        rows: (trials, parameters).
        rewards: (trials,).

    Returns:
        The parameter's index and the regions on both sides; None where no cut leaves at least
        `SMALLEST` trials on each side.
    """
    keys = rows.copy()
    for i, subset in enumerate(region.subsets):
        if subset is not None:
            keys[:, i] = _rank_by_reward(find_indices(rows[:, i], len(subset)), rewards)
    order = np.argsort(keys, axis=0, kind="stable")
    ranked = np.take_along_axis(keys, order, axis=0)
    count = len(rows)
    sums = np.cumsum(rewards[order], axis=0)[:-1]  # (cuts, parameters)
    sizes = np.arange(1, count)[:, None]
    gain = sums**2 / sizes + (rewards.sum() - sums) ** 2 / (count - sizes)
    gain[(np.diff(ranked, axis=0) < 1e-9)] = NO_SPLIT  # equal values stay together
    gain[: SMALLEST - 1] = gain[count - SMALLEST :] = NO_SPLIT
    at, i = (int(index) for index in np.unravel_index(np.argmax(gain), gain.shape))
    if gain[at, i] == NO_SPLIT:
        return None
    subset = region.subsets[i]
    if subset is None:
        return i, *region.cut(i, float(ranked[at, i] + ranked[at + 1, i]) / 2)
    inside = np.zeros_like(subset)
    inside[find_indices(rows[keys[:, i] <= ranked[at, i], i], len(subset))] = True
    return i, *region.cut_values(i, inside)


def _rank_by_reward(index: NDArray[np.int64], rewards: Array) -> Array:
    """(trials,): the rank of the mean reward of each trial's value."""
    counts = np.bincount(index)
    means = np.bincount(index, rewards) / np.maximum(counts, 1)
    return np.argsort(np.argsort(means, kind="stable"), kind="stable")[index].astype(float)


def describe(space: Space, root: Node, numbers: NDArray[np.int64], losses: Array) -> dict[str, Any]:
    """Return the tree as nested plain values; see `Search.tree`.

    Args:
        space: Names the splits.
        root: The whole tree.
        numbers: (trials,): numbers of the trials, `EARLIER_SEARCH` where they have none.
        losses: (trials,): NaN while a trial is running.
    """
    is_ranked = (numbers != EARLIER_SEARCH) & ~np.isnan(losses)

    def describe_node(node: Node, lies_in: str) -> dict[str, Any]:
        ranked = node.members[is_ranked[node.members]]
        sides = _describe_sides(space, node)
        return {
            "visits": node.visits,
            "value": node.value,
            "depth": node.depth,
            "best": int(numbers[ranked[np.argmin(losses[ranked])]]) if len(ranked) else None,
            "split": None if node.split is None else space.names[node.split],
            "lies_in": lies_in,
            "children": [
                describe_node(child, side) for child, side in zip(node.children, sides, strict=True)
            ],
        }

    return describe_node(root, "")


def _describe_sides(space: Space, node: Node) -> list[str]:
    """Return how each child differs from its sibling: `lr < 0.01` or `metric in l1, l2`."""
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
            texts.append(f"{parameter.name} {sign} {_format_bound(value)}")
    return texts


def _format_bound(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
