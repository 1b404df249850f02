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
                drawn[name] = round(math.exp(rng.uniform(*map(math.log, rest))))
            else:
                drawn[name] = float(rng.uniform(rest[0], rest[1]))
        return drawn


def branin(x):
    a, b = x
    bent = b - 5.1 / (4 * math.pi**2) * a**2 + 5 / math.pi * a - 6
    return bent**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(a) + 10


_WEIGHTS = np.array([1.0, 1.2, 3.0, 3.2])
_A6 = np.reshape(
    [
        10,
        3,
        17,
        3.5,
        1.7,
        8,
        0.05,
        10,
        17,
        0.1,
        8,
        14,
        3,
        3.5,
        1.7,
        10,
        17,
        8,
        17,
        8,
        0.05,
        10,
        0.1,
        14,
    ],
    (4, 6),
)
_P6 = 1e-4 * np.reshape(
    [
        1312,
        1696,
        5569,
        124,
        8283,
        5886,
        2329,
        4135,
        8307,
        3736,
        1004,
        9991,
        2348,
        1451,
        3522,
        2883,
        3047,
        6650,
        4047,
        8828,
        8732,
        5743,
        1091,
        381,
    ],
    (4, 6),
)
_A3 = np.array([[3.0, 10, 30], [0.1, 10, 35], [3.0, 10, 30], [0.1, 10, 35]])
_P3 = 1e-4 * np.array(
    [[3689, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381, 5743, 8828]]
)


def hartmann6(x):
    return -float(_WEIGHTS @ np.exp(-(_A6 * (np.asarray(x) - _P6) ** 2).sum(axis=1)))


def hartmann3(x):
    return -float(_WEIGHTS @ np.exp(-(_A3 * (np.asarray(x) - _P3) ** 2).sum(axis=1)))


def ackley(x):
    x = np.asarray(x)
    return float(
        -20 * math.exp(-0.2 * math.sqrt(np.mean(x**2)))
        - math.exp(np.mean(np.cos(2 * math.pi * x)))
        + 20
        + math.e
    )


def rosenbrock(x):
    x = np.asarray(x)
    return float((100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum())


def levy(x):
    w = 1 + (np.asarray(x) - 1) / 4
    middle = (w[:-1] - 1) ** 2 * (1 + 10 * np.sin(math.pi * w[:-1] + 1) ** 2)
    last = (w[-1] - 1) ** 2 * (1 + math.sin(2 * math.pi * w[-1]) ** 2)
    return float(math.sin(math.pi * w[0]) ** 2 + middle.sum() + last)


def styblinski(x):
    x = np.asarray(x)
    return float(0.5 * (x**4 - 16 * x**2 + 5 * x).sum())


def griewank(x):
    x = np.asarray(x)
    waves = np.prod(np.cos(x / np.sqrt(np.arange(1, len(x) + 1))))
    return float((x**2).sum() / 4000 - waves + 1)


def dixon_price(x):
    x = np.asarray(x)
    steps = np.arange(2, len(x) + 1)
    return float((x[0] - 1) ** 2 + (steps * (2 * x[1:] ** 2 - x[:-1]) ** 2).sum())


def zakharov(x):
    x = np.asarray(x)
    slope = (0.5 * np.arange(1, len(x) + 1) * x).sum()
    return float((x**2).sum() + slope**2 + slope**4)


def michalewicz(x):
    x = np.asarray(x)
    return -float((np.sin(x) * np.sin(np.arange(1, len(x) + 1) * x**2 / math.pi) ** 20).sum())


def _box(name: str, function: Callable, bounds: Sequence, optimum: float, shift=0.0) -> Task:
    """A function of numbers; `shift` moves it, so that its centre is not the box's."""
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
    """A function some of whose inputs are choices or steps; booleans add a penalty when true."""
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
    """The tasks of the study."""
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
    """Other tasks: choices about the search were made on these."""
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
