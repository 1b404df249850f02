"""Objectives with awkward scores: many decades, plateaus, ties, diverged trials, many choices.

`reported()` are the study's; choices about the search were made on `development()`.
"""

from __future__ import annotations

import math
import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[1] / "search_benchmark"))
from tasks import (
    Task,
    ackley,
    branin,
    griewank,
    hartmann3,
    hartmann6,
    levy,
    styblinski,
)

DIVERGED = 1e30

Function = Callable[[np.ndarray], float]


def make_task(name: str, function: Function, low: float, high: float, size: int) -> Task:
    """A function of `size` numbers that is 0 at its best."""
    parameters = tuple(("float", f"x{i}", low, high, False) for i in range(size))

    def evaluate(values: dict) -> float:
        return float(function(np.array([values[f"x{i}"] for i in range(size)])))

    return scale(Task(name, parameters, evaluate, 0.0))


def scale(task: Task) -> Task:
    """Count regret in medians of uniform draws, or in 1 where the median is no number to use."""
    rng = np.random.default_rng(0)
    middle = float(np.median([task.evaluate(task.draw(rng)) for _ in range(4000)]))
    return replace(task, scale=middle if 0 < middle < DIVERGED else 1.0)


def decades(centre: Sequence[float], rate: float = 6.0) -> Function:
    """10^(rate·q) − 1 for a bowl q from 0 to 1, the value in the farthest corner."""
    place = np.array(centre)
    reach = ((1 + np.abs(place)) ** 2).sum()
    return lambda x: 10 ** (rate * ((x - place) ** 2).sum() / reach) - 1


def sum_of_exponentials(centre: Sequence[float]) -> Function:
    place = np.array(centre)
    return lambda x: np.exp(20 * np.abs(x - place)).sum() - len(place)


def steep_branin(x: np.ndarray) -> float:
    """10^(Branin / 50) − 1, six decades, with three equal valleys."""
    return 10 ** ((branin(x) - 0.397887) / 50) - 1


def needle(centre: Sequence[float], radius: float) -> Function:
    """1 everywhere but within a radius, where it falls to 0."""
    place = np.array(centre)
    return lambda x: min(1.0, float(np.linalg.norm(x - place)) / radius)


def steps(function: Function, optimum: float, height: float) -> Function:
    """Scores that come in steps, as accuracies on few examples do."""
    return lambda x: math.floor((function(x) - optimum) / height) * height


def diverging_region(function: Function, optimum: float, share: float) -> Function:
    """Beyond a bound of the first two parameters scores are 1e30."""
    edge = 1 - 2 * math.sqrt(share)
    return lambda x: DIVERGED if min(x[0], x[1]) > edge else function(x) - optimum


def diverging_by_chance(function: Function, optimum: float, share: float) -> Function:
    """Some points, anywhere, score 1e30."""

    def evaluate(x: np.ndarray) -> float:
        chance = zlib.crc32(x.tobytes()) / 2**32
        return DIVERGED if chance < share else function(x) - optimum

    return evaluate


def stretch(function: Function, low: float, high: float) -> Function:
    """The function on [−1, 1] instead of [low, high]."""
    return lambda x: function(low + (high - low) * (x + 1) / 2)


def many_choices(name: str, seed: int) -> Task:
    """Two choices of 20 values without order, a whole number by its logarithm, two numbers."""
    rng = np.random.default_rng(seed)
    first, second = rng.permutation(20) / 19, rng.permutation(20) / 19
    target, best = rng.uniform(-0.6, 0.6, 2), int(rng.integers(20, 200))
    words = [f"v{i}" for i in range(20)]

    def evaluate(values: dict) -> float:
        a, b = first[int(values["a"][1:])], second[int(values["b"][1:])]
        size = math.log(values["n"] / best) / math.log(1000)
        bowl = sum((values[f"x{i}"] - target[i]) ** 2 for i in range(2))
        return a + b + a * b + 4 * size**2 + bowl

    parameters = (
        ("choice", "a", words),
        ("choice", "b", words),
        ("int_log", "n", 1, 1000),
        ("float", "x0", -1.0, 1.0, False),
        ("float", "x1", -1.0, 1.0, False),
    )
    return scale(Task(name, parameters, evaluate, 0.0))


def reported() -> list[Task]:
    """The tasks of the study."""
    valley = stretch(levy, -10, 10)
    return [
        make_task("decades4", decades((0.31, -0.52, 0.13, 0.74)), -1, 1, 4),
        make_task("decades2", decades((-0.37, 0.58)), -1, 1, 2),
        make_task("exponentials2", sum_of_exponentials((0.23, -0.41)), -1, 1, 2),
        make_task("exponentials5", sum_of_exponentials((0.3, -0.2, 0.6, -0.5, 0.1)), -1, 1, 5),
        make_task("steep_branin", lambda x: steep_branin(x * 7.5 + np.array([2.5, 7.5])), -1, 1, 2),
        make_task("needle2", needle((0.35, -0.22), 0.14), -1, 1, 2),
        make_task("needle3", needle((-0.28, 0.41, 0.17), 0.26), -1, 1, 3),
        make_task("ties_hartmann6", steps(stretch(hartmann6, 0, 1), -3.32237, 0.3), -1, 1, 6),
        make_task("ties_branin", steps(lambda x: branin(x * 7.5 + [2.5, 7.5]), 0, 5.0), -1, 1, 2),
        make_task("region_levy4", diverging_region(valley, 0.0, 0.2), -1, 1, 4),
        make_task(
            "chance_hartmann6",
            diverging_by_chance(stretch(hartmann6, 0, 1), -3.32237, 0.1),
            -1,
            1,
            6,
        ),
        make_task(
            "chance_ackley3",
            diverging_by_chance(stretch(ackley, -6, 10), 0.0, 0.25),
            -1,
            1,
            3,
        ),
        many_choices("many_choices", 1),
    ]


def development() -> list[Task]:
    """Other tasks of each kind: choices about the search were made on these."""
    return [
        make_task("decades3", decades((-0.6, 0.2, 0.45)), -1, 1, 3),
        make_task("decades5", decades((0.1, 0.5, -0.3, -0.7, 0.25), 8.0), -1, 1, 5),
        make_task("exponentials3", sum_of_exponentials((-0.15, 0.35, 0.52)), -1, 1, 3),
        make_task(
            "steep_styblinski",
            lambda x: 10 ** ((styblinski(x * 5) + 39.16617 * 3) / 60) - 1,
            -1,
            1,
            3,
        ),
        make_task("needle2_other", needle((-0.44, 0.12), 0.15), -1, 1, 2),
        make_task("needle4", needle((0.2, 0.3, -0.25, -0.1), 0.4), -1, 1, 4),
        make_task("ties_hartmann3", steps(stretch(hartmann3, 0, 1), -3.86278, 0.25), -1, 1, 3),
        make_task(
            "ties_styblinski4", steps(stretch(styblinski, -5, 5), -39.16617 * 4, 10.0), -1, 1, 4
        ),
        make_task(
            "region_styblinski3",
            diverging_region(stretch(styblinski, -5, 5), -39.16617 * 3, 0.3),
            -1,
            1,
            3,
        ),
        make_task(
            "chance_hartmann3",
            diverging_by_chance(stretch(hartmann3, 0, 1), -3.86278, 0.1),
            -1,
            1,
            3,
        ),
        make_task(
            "chance_griewank4",
            diverging_by_chance(stretch(griewank, -40, 60), 0.0, 0.25),
            -1,
            1,
            4,
        ),
        many_choices("many_choices_other", 7),
    ]
