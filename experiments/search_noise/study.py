"""Runs samplers on noisy tasks, one CSV row a run; what is there is not run again.

    python study.py tree_auto tree_once optuna5_tpe optuna5_gp --seeds 0 10

What counts is the true regret of the point that a sampler recommends after 50 and 200 trials.
"""

from __future__ import annotations

import argparse
import csv
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).parents[1] / "search_benchmark"))
from contestants import _space
from tasks import Task, reported

MARKS = (50, 200)
NOISES = (0.1, 0.3)
"""Standard deviation of a score, as a share of the median regret of uniform draws."""
NAMES = ("branin", "hartmann6", "levy5", "branin_mixed")
HERE = Path(__file__).parent

Recommended = Iterator[dict]
"""After each trial, the values that the sampler recommends."""

Measure = Callable[[dict], float]


def tree(task: Task, seed: int, measure: Measure, repeats: int | str) -> Recommended:
    """Recommend the best posterior mean, or the best score where scores pass for exact."""
    from infinito.search.search import Search

    search = Search(_space(task), seed=seed, repeats=repeats)
    for number in range(1, MARKS[-1] + 1):
        (trial,) = search.ask()
        search.tell(trial.number, measure(trial.params))
        found = search.recommend() if number in MARKS else trial
        assert found is not None
        yield found.params


def optuna(task: Task, measure: Measure, sampler: Any) -> Recommended:
    """Recommend the best score, as `Study.best_params` does."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=sampler)
    while True:
        trial = study.ask()
        values = {}
        for kind, name, *rest in task.parameters:
            if kind == "choice":
                values[name] = trial.suggest_categorical(name, rest[0])
            else:
                values[name] = trial.suggest_float(name, *rest[:2], log=rest[2])
        study.tell(trial, measure(values))
        yield study.best_params


def make_optuna(name: str, seed: int) -> Any:
    import torch
    from optuna.samplers import GPSampler, TPESampler

    torch.set_num_threads(1)
    if name == "optuna5_tpe":
        return TPESampler(seed=seed)
    return GPSampler(seed=seed, deterministic_objective=False)


def play(name: str, task: Task, seed: int, noise: float) -> list[float | None]:
    """Return the true regret of the recommended point at the marks; None where it is not run."""
    rng = np.random.default_rng([seed, round(1000 * noise)])

    def measure(values: dict) -> float:
        return float(task.evaluate(values) + noise * task.scale * rng.standard_normal())

    if name.startswith("tree"):
        run = tree(task, seed, measure, "auto" if name == "tree_auto" else 1)
    else:
        run = optuna(task, measure, make_optuna(name, seed))
    marks = MARKS[:1] if name == "optuna5_gp" else MARKS
    found: list[float | None] = []
    for number, values in enumerate(run, start=1):
        if number in marks:
            found.append(task.regret(task.evaluate(values)))
        if number == marks[-1]:
            break
    return found + [None] * (len(MARKS) - len(found))


def main() -> None:
    parser = argparse.ArgumentParser()
    names = ("tree_auto", "tree_once", "optuna5_tpe", "optuna5_gp")
    parser.add_argument("samplers", nargs="+", choices=names)
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 10))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    tasks = [task for task in reported() if task.name in NAMES]
    path = HERE / "results.csv"
    for seed in range(*arguments.seeds):
        for name in arguments.samplers:
            for task in tasks:
                for noise in NOISES:
                    key = [name, task.name, f"{noise:g}", str(seed)]
                    rows = list(csv.reader(path.open())) if path.exists() else []
                    if key in [row[:4] for row in rows]:
                        continue
                    regrets = [
                        "" if each is None else f"{each:.6g}"
                        for each in play(name, task, seed, noise)
                    ]
                    with path.open("a", newline="") as file:
                        if not rows:
                            header = ["sampler", "task", "noise", "seed"]
                            csv.writer(file).writerow([*header, *(f"regret_{m}" for m in MARKS)])
                        csv.writer(file).writerow([*key, *regrets])


if __name__ == "__main__":
    main()
