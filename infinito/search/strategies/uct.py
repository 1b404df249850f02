"""Plain UCT over values cut into steps, as a yardstick: one level of the tree for each parameter.

Selection by UCB1 on rewards scaled to [0, 1], expansion of one node a trial, simulation by a random
completion, backpropagation along the path. The tree is replayed from the trials.

Source: Kocsis and Szepesvári, Bandit based Monte-Carlo Planning (2006).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from infinito.search.evidence import Evidence, compute_rewards
from infinito.search.space.parameters import Array, Float
from infinito.search.space.sampling import Sampler, exclude

STEPS = 5
"""Values that a number, or a parameter with more ordered values, is cut into."""

WALKS = 64
"""Walks that may end in a point that breaks a condition before chance takes over."""


@dataclass
class _Node:
    visits: int = 0
    total: float = 0.0
    children: dict[int, _Node] = field(default_factory=dict)


class UCT:
    """Propose the points of plain UCT.

    Args:
        sampler: Its space is searched.
        exploration: The factor of the confidence term.
        max_depth: Deeper levels are completed at random.
    """

    initial_points = 0

    def __init__(self, sampler: Sampler, exploration: float, max_depth: int) -> None:
        self.space = sampler.space
        self.exploration = exploration
        self.depth = min(max_depth, len(self.space.names))
        middles = (np.arange(STEPS) + 0.5) / STEPS
        self.levels = [
            np.unique(parameter.snap(middles))
            if isinstance(parameter, Float) or (parameter.is_ordered and parameter.count > STEPS)
            else parameter.grid()
            for parameter in self.space.parameters
        ]

    def propose(self, evidence: Evidence, rng: np.random.Generator) -> Array | None:
        """Return the next point, or None where the walk ends in one with a trial, or in none."""
        rewards = compute_rewards(evidence.scalarise(rng))
        row = self.search(evidence.rows, rewards, rng)
        return row if row is not None and len(exclude(row[None], evidence.rows)) else None

    def search(self, rows: Array, rewards: Array, rng: np.random.Generator) -> Array | None:
        """Return the point of the next iteration, which may have a trial already.

        Args:
            rows: (trials, parameters): the trials in their order.
            rewards: (trials,) in [0, 1], more is better; 0 for a trial in flight.
            rng: For expansion and simulation.

        Returns:
            (parameters,), or None where `WALKS` walks have ended in no feasible point.
        """
        root = _Node()
        for row, reward in zip(rows, rewards, strict=True):
            self._backpropagate(root, row, reward)
        for _ in range(WALKS):
            row = self._walk(root, rng)
            if self.space.is_feasible(row[None])[0]:
                return row
        return None

    def _walk(self, root: _Node, rng: np.random.Generator) -> Array:
        row = self._simulate(rng)
        node = root
        for level in range(self.depth):
            index = self._expand(node, level, rng)
            is_new = index is not None
            if index is None:
                index = self._select(node, level)
            row[level] = self.levels[level][index]
            if is_new:
                break
            node = node.children[index]
        return row

    def _select(self, node: _Node, level: int) -> int:
        """Selection: the child of the greatest upper confidence bound."""
        options = range(len(self.levels[level]))
        return max(options, key=lambda i: self._bound(node.children[i], node.visits))

    def _expand(self, node: _Node, level: int, rng: np.random.Generator) -> int | None:
        """Expansion: a value that the node has no child for; None where it has all."""
        new = [i for i in range(len(self.levels[level])) if i not in node.children]
        return new[rng.integers(len(new))] if new else None

    def _simulate(self, rng: np.random.Generator) -> Array:
        """Simulation: a random value for each level; the walk replaces those it decides."""
        return np.array([levels[rng.integers(len(levels))] for levels in self.levels])

    def _backpropagate(self, root: _Node, row: Array, reward: float) -> None:
        """Backpropagation: count a trial on its path, down to the node that it added."""
        node = root
        node.visits, node.total = node.visits + 1, node.total + reward
        for level in range(self.depth):
            index = int(np.argmin(np.abs(self.levels[level] - row[level])))
            is_new = index not in node.children
            node = node.children.setdefault(index, _Node())
            node.visits, node.total = node.visits + 1, node.total + reward
            if is_new:
                break

    def _bound(self, child: _Node, visits: int) -> float:
        chance = math.sqrt(math.log(visits) / child.visits)
        return child.total / child.visits + self.exploration * chance
