"""The tasks: what is minimised, over which space, and what counts as no regret.

A task's parameters are plain tuples, so that every sampler can be given the same space:
("float", name, low, high, log), ("int", name, low, high), ("int_log", name, low, high),
("choice", name, values).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from functions import (
    ackley,
    branin,
    dixon_price,
    griewank,
    hartmann3,
    hartmann6,
    levy,
    michalewicz,
    rosenbrock,
    styblinski,
    zakharov,
)

SWITCH = ("choice", "c", [True, False])
TABLES = Path(__file__).parent / "tables.npz"
ORDERED_AXES = {
    "svm_digits": (True, True, False, True),
    "boosting_diabetes": (True, True, True, True, True),
    "network_wine": (True, True, True, False, True),
    "sgd_cancer": (False, False, True, True, False),
}
"""Axes of the tables along which neighbours are alike: searched as whole numbers."""


@dataclass(frozen=True)
class Task:
    """A function of named values, its least value, and the median over the space.

    Attributes:
        scale: Median of uniform draws minus the least value: regret is counted in these.
    """

    name: str
    parameters: tuple[tuple, ...]
    evaluate: Callable[[dict], float]
    optimum: float
    scale: float = math.nan

    def regret(self, value: float) -> float:
        return (value - self.optimum) / self.scale

    def draw(self, rng: np.random.Generator) -> dict:
        drawn = {}
        for kind, name, *rest in self.parameters:
            if kind == "choice":
                drawn[name] = rest[0][rng.integers(len(rest[0]))]
            elif kind == "int":
                drawn[name] = int(rng.integers(rest[0], rest[1] + 1))
            elif kind == "int_log":
                drawn[name] = round(math.exp(rng.uniform(math.log(rest[0]), math.log(rest[1]))))
            else:
                drawn[name] = float(rng.uniform(rest[0], rest[1]))
        return drawn


def _box(name: str, function: Callable, bounds: Sequence, optimum: float, shift=0.0) -> Task:
    """Return a task of numbers alone; `shift` moves its optimum off the centre of the box."""
    parameters = tuple(("float", f"x{i}", *pair, False) for i, pair in enumerate(bounds))
    shifts = np.broadcast_to(shift, len(bounds))

    def evaluate(values: dict) -> float:
        return function([values[f"x{i}"] - shifts[i] for i in range(len(bounds))])

    return Task(name, parameters, evaluate, optimum)


def _mixed(
    name: str,
    function: Callable,
    parameters: Sequence[tuple],
    levels: dict[str, dict],
    optimum: float,
    penalty: dict[str, float],
) -> Task:
    """Return a task some of whose inputs are choices or steps; true booleans add a penalty."""
    coordinates = [p[1] for p in parameters if p[1] not in penalty]

    def evaluate(values: dict) -> float:
        point = [levels.get(name, {}).get(values[name], values[name]) for name in coordinates]
        return function(point) + sum(penalty[name] for name in penalty if values[name])

    return Task(name, tuple(parameters), evaluate, optimum)


def _table(name: str) -> Task:
    table = np.load(TABLES)[name].astype(float)
    names = [f"a{i}" for i in range(table.ndim)]
    parameters = tuple(
        ("int", axis, 0, size - 1) if ordered else ("choice", axis, [f"v{i}" for i in range(size)])
        for axis, size, ordered in zip(names, table.shape, ORDERED_AXES[name], strict=True)
    )

    def evaluate(values: dict) -> float:
        index = [values[axis] for axis in names]
        return float(table[tuple(int(str(i).removeprefix("v")) for i in index)])

    return Task(name, parameters, evaluate, float(table.min()))


def _floats(count: int, low: float, high: float, start: int = 0) -> list[tuple]:
    return [("float", f"x{i}", low, high, False) for i in range(start, start + count)]


def reported() -> list[Task]:
    """Return the tasks of the study."""
    letters = ["a", "b", "c", "d", "e", "f"]
    tasks = [
        _box("branin", branin, [(-5, 10), (0, 15)], 0.397887),
        _box("hartmann6", hartmann6, [(0, 1)] * 6, -3.32237),
        _box("ackley5", ackley, [(-5, 10)] * 5, 0.0),
        _box("rosenbrock4", rosenbrock, [(-5, 10)] * 4, 0.0),
        _box("levy5", levy, [(-10, 10)] * 5, 0.0),
        _mixed(
            "branin_mixed",
            branin,
            [("choice", "a", letters), ("float", "b", 0.0, 15.0, False), SWITCH],
            {"a": dict(zip(letters, (7.0, -4.0, 9.42478, 2.0, -1.0, 5.0), strict=True))},
            0.397887,
            {"c": 3.0},
        ),
        _mixed(
            "hartmann6_mixed",
            hartmann6,
            [("choice", "a", letters[:5]), ("int", "b", 0, 10), *_floats(4, 0.0, 1.0), SWITCH],
            {
                "a": dict(zip(letters[:5], (0.7, 0.20169, 0.95, 0.05, 0.45), strict=True)),
                "b": {i: 0.150011 + (i - 2) * 0.08 for i in range(11)},
            },
            -3.32237,
            {"c": 0.3},
        ),
        _mixed(
            "ackley5_mixed",
            ackley,
            [("choice", "a", letters), ("int", "b", -5, 10), *_floats(3, -5.0, 10.0), SWITCH],
            {"a": dict(zip(letters, (4.0, -2.0, 8.0, 0.0, 6.0, -4.0), strict=True))},
            0.0,
            {"c": 1.0},
        ),
        *(_table(name) for name in ("svm_digits", "boosting_diabetes", "network_wine")),
    ]
    return [_scaled(task) for task in tasks]


def development() -> list[Task]:
    """Return the tasks on which choices about the search were made; none is reported."""
    letters = ["a", "b", "c", "d", "e"]
    shift5 = np.array([1.7, -2.9, 0.4, 3.1, -1.2])
    tasks = [
        _box("hartmann3", hartmann3, [(0, 1)] * 3, -3.86278),
        _box("styblinski5", styblinski, [(-5, 5)] * 5, -39.16599 * 5),
        _box("griewank5", griewank, [(-40, 60)] * 5, 0.0),
        _box("ackley4_shifted", ackley, [(-12, 12)] * 4, 0.0, shift5[:4] * 2),
        _box("dixon_price4", dixon_price, [(-6, 6)] * 4, 0.0),
        _box("zakharov4", zakharov, [(-5, 10)] * 4, 0.0),
        _box("rastrigin_like_levy3", levy, [(-12, 8)] * 3, 0.0, shift5[:3]),
        _box("michalewicz5", michalewicz, [(0, math.pi)] * 5, -4.687658),
        _mixed(
            "styblinski_mixed",
            styblinski,
            [("choice", "a", letters), ("int", "b", -5, 5), *_floats(3, -5.0, 5.0), SWITCH],
            {"a": dict(zip(letters, (1.0, 4.0, -2.903534, 2.5, -4.5), strict=True))},
            -39.16599 * 4 - 39.0,
            {"c": 10.0},
        ),
        _table("sgd_cancer"),
    ]
    return [_scaled(task) for task in tasks]


def _scaled(task: Task) -> Task:
    rng = np.random.default_rng(0)
    middle = float(np.median([task.evaluate(task.draw(rng)) for _ in range(4000)]))
    return Task(task.name, task.parameters, task.evaluate, task.optimum, middle - task.optimum)
