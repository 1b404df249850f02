"""Plain UCT over values cut into steps, as a yardstick: one level of the tree for each parameter.

Selection by UCB1 on rewards scaled to [0, 1], expansion of one node a trial, simulation by a random
completion, backpropagation along the path. The tree is replayed from the trials.

Source: Kocsis and Szepesvári, Bandit based Monte-Carlo Planning (2006).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from infinito.search.space.parameters import Array, Float
from infinito.search.space.space import Space

STEPS = 5
"""Values that a parameter with more of them, or a number, is cut into."""


@dataclass
class _Node:
    visits: int = 0
    total: float = 0.0
    children: dict[int, _Node] = field(default_factory=dict)


class UCT:
    """The next points of plain UCT.

    Args:
        space: What is searched.
        exploration: The factor of the confidence term.
        max_depth: Deeper levels are completed at random.
    """

    def __init__(self, space: Space, exploration: float, max_depth: int) -> None:
        self.space = space
        self.exploration = exploration
        self.depth = min(max_depth, len(space.names))
        middles = (np.arange(STEPS) + 0.5) / STEPS
        self.levels = [
            np.unique(parameter.snapped(middles))
            if isinstance(parameter, Float) or (parameter.is_ordered and parameter.count > STEPS)
            else parameter.grid()
            for parameter in space.parameters
        ]

    def propose(self, rows: Array, rewards: Array, rng: np.random.Generator) -> Array | None:
        """The point that the walk and a random completion lead to; it may have been tried.

        None where 64 walks have led to no feasible one.

        Args:
            rows: (trials, parameters): the trials in their order.
            rewards: (trials,) in [0, 1], more is better; 0 for a trial in flight.
            rng: For expansion and completion.
        """
        root = self._replayed(rows, rewards)
        for _ in range(64):
            row = self._walked(root, rng)
            if self.space.feasible(row[None])[0]:
                return row
        return None

    def _replayed(self, rows: Array, rewards: Array) -> _Node:
        root = _Node()
        for row, reward in zip(rows, rewards, strict=True):
            node = root
            node.visits, node.total = node.visits + 1, node.total + reward
            for level in range(self.depth):
                index = int(np.argmin(np.abs(self.levels[level] - row[level])))
                is_new = index not in node.children
                node = node.children.setdefault(index, _Node())
                node.visits, node.total = node.visits + 1, node.total + reward
                if is_new:
                    break
        return root

    def _walked(self, root: _Node, rng: np.random.Generator) -> Array:
        row = np.array([levels[rng.integers(len(levels))] for levels in self.levels])
        node = root
        for level in range(self.depth):
            options = len(self.levels[level])
            new = [index for index in range(options) if index not in node.children]
            if new:
                row[level] = self.levels[level][new[rng.integers(len(new))]]
                break
            index = max(range(options), key=lambda i: self._bound(node.children[i], node.visits))
            row[level] = self.levels[level][index]
            node = node.children[index]
        return row

    def _bound(self, child: _Node, visits: int) -> float:
        chance = math.sqrt(math.log(visits) / child.visits)
        return child.total / child.visits + self.exploration * chance
