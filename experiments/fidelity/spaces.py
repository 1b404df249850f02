"""Three spaces whose every point was trained once, and their learning curves.

Each space is a grid: parameters whose values have an order are searched by the number of the value,
so every sampler searches the same points, and each point that it proposes has a recorded curve.
"""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

TABLE = Path(__file__).parent / "curves.csv"

POINTS = 27
"""Validations of a training, equally far apart."""

STEPS = 270
"""Optimizer steps of a training."""

DIVERGED = 10.0
"""Nats that a loss counts as where it is larger or no number."""


@dataclass(frozen=True)
class Space:
    """A grid of settings.

    Attributes:
        name: In the table.
        values: Of each parameter.
        unordered: Parameters whose values have no order.
        sizes: Parameters that decide what a step costs.
        fixed: Settings that all trainings share; see `record.train`.
    """

    name: str
    values: Mapping[str, Sequence[Any]]
    unordered: frozenset[str]
    sizes: tuple[str, ...]
    fixed: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def points(self) -> list[tuple[int, ...]]:
        """All points as numbers of values, in the order of the table."""
        return list(itertools.product(*(range(len(each)) for each in self.values.values())))

    def read(self, point: Sequence[int]) -> dict[str, Any]:
        """Return the settings of a point."""
        return {
            name: values[at] for at, (name, values) in zip(point, self.values.items(), strict=True)
        }


@dataclass(frozen=True)
class Curves:
    """What was recorded of a space.

    Attributes:
        space: The grid.
        losses: (points of the grid, `POINTS`): validation losses in nats a character.
        costs: (points of the grid,): what a whole training costs, 1 on average: CPU seconds, the
            median of all trainings of the same sizes.
    """

    space: Space
    losses: np.ndarray
    costs: np.ndarray

    @property
    def best(self) -> float:
        """The least loss at the end of a training."""
        return float(self.losses[:, -1].min())

    @property
    def spread(self) -> float:
        """The median loss at the end minus the least."""
        return float(np.median(self.losses[:, -1])) - self.best


SPACES = {
    space.name: space
    for space in (
        Space(
            "optimizer",
            {
                "lr": [1e-3, 3e-3, 1e-2, 3e-2, 1e-1],
                "matrix_lr": [5e-3, 1.5e-2, 5e-2, 0.15, 0.5],
                "batch_size": [4, 12],
                "schedule": ["constant", "cosine", "wsd"],
                "warmup_steps": [0, 30],
            },
            frozenset({"schedule"}),
            ("batch_size",),
            {"optimizer": "muon"},
        ),
        Space(
            "attention",
            {
                "metric": ["dot", "l1", "l2", "sq_l2", "cosine"],
                "scale": [0.1, 0.3, 1.0, 3.0, 10.0],
                "heads": [1, 4],
                "lr": [2e-3, 6e-3, 2e-2],
                "dim": [16, 32],
            },
            frozenset({"metric"}),
            ("metric", "heads", "dim"),
            {"schedule": "cosine", "warmup_steps": 20},
        ),
        Space(
            "small_text",
            {
                "lr": [1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3],
                "dim": [16, 32, 64],
                "dropout": [0.0, 0.15, 0.3],
                "weight_decay": [0.01, 1.0],
                "batch_size": [4, 8, 16],
            },
            frozenset(),
            ("dim", "batch_size"),
            {"train_characters": 5000, "clip_norm": None},
        ),
    )
}


def load(name: str) -> Curves:
    """Return the curves of a space.

    Raises:
        ValueError: Some are not recorded yet.
    """
    space = SPACES[name]
    rows = read_table(name)
    if missing := len(space.points) - len(rows):
        raise ValueError(f"{missing} curves of {name} are missing; run record.py {name}")
    losses = np.array([rows[at][1] for at in range(len(space.points))])
    losses = np.minimum(np.where(np.isfinite(losses), losses, DIVERGED), DIVERGED)
    sizes = [tuple(space.read(point)[size] for size in space.sizes) for point in space.points]
    seconds: dict[tuple, list[float]] = {}
    for at, size in enumerate(sizes):
        seconds.setdefault(size, []).append(rows[at][0])
    costs = np.array([np.median(seconds[size]) for size in sizes])
    return Curves(space, losses, costs / costs.mean())


def read_table(name: str) -> dict[int, tuple[float, list[float]]]:
    """Return CPU seconds and losses of the trainings so far, by number of the point."""
    if not TABLE.exists():
        return {}
    with TABLE.open(newline="", encoding="utf-8") as file:
        return {
            int(at): (float(cpu_s), [float(loss) if loss else math.nan for loss in losses])
            for space, at, cpu_s, *losses in list(csv.reader(file))[1:]
            if space == name
        }
