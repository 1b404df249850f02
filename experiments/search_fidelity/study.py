"""Runs searches on trainings with learning curves, one CSV row a run; what is there stays.

    python study.py random tree random_rungs tree_rungs optuna5_hyperband --seeds 0 10

The curves are made, not recorded: see README.md. What counts is the regret of the best trial that
was trained to its end, against the compute of all trials, counted in whole trainings.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[1] / "search_benchmark"))
from contestants import _space
from tasks import Task, reported

BUDGETS = (5, 10, 25)
"""Whole trainings."""
SHARES = (1 / 9, 1 / 3, 1.0)
NAMES = ("branin", "hartmann6", "levy5", "hartmann6_mixed", "svm_digits", "boosting_diabetes")
HERE = Path(__file__).parent
MISLEADING, WOBBLE = 0.3, 0.05

Spent = Iterator[tuple[float, float | None]]
"""For each launch its compute, and the final regret where it went to the end."""


def score(task: Task, values: dict, share: float) -> float:
    """Return a loss, in medians of uniform draws, after a share of the training.

    It falls to the task's own by a power law and wobbles. How slowly it falls is drawn for each
    value of the first parameter, so that early ranks mislead.
    """
    final = task.regret(task.evaluate(values))
    if share >= 1:
        return final
    words = repr(sorted(values.items()))
    slow = zlib.crc32(repr(next(iter(values.items()))).encode()) / 2**32
    wobble = np.random.default_rng(zlib.crc32(f"{words} {share:.3f}".encode())).standard_normal()
    return final + MISLEADING * (0.5 + slow) * (share**-0.5 - 1) + WOBBLE * float(wobble)


def infinito(task: Task, seed: int, strategy: str, shares: tuple[float, ...]) -> Spent:
    from infinito.search.rungs import ONE_RUNG, Rungs
    from infinito.search.search import Search

    rungs = Rungs(shares) if len(shares) > 1 else ONE_RUNG
    search = Search(_space(task), seed=seed, strategy=strategy, rungs=rungs)
    while True:
        trial = search.promote() or search.ask()[0]
        at = len(trial.curve)
        cost = shares[at] - (shares[at - 1] if at else 0.0)
        found = score(task, trial.params, shares[at])
        is_whole = search.is_whole(trial)
        search.tell(trial.number, found)
        yield cost, found if is_whole else None


def hyperband(task: Task, seed: int) -> Spent:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.HyperbandPruner(min_resource=1, max_resource=9, reduction_factor=3),
    )
    while True:
        trial = study.ask()
        values = {}
        for kind, name, *rest in task.parameters:
            if kind == "choice":
                values[name] = trial.suggest_categorical(name, rest[0])
            elif kind == "int":
                values[name] = trial.suggest_int(name, *rest)
            else:
                values[name] = trial.suggest_float(name, *rest[:2], log=rest[2])
        found, before = math.inf, 0.0
        for share in SHARES:
            found = score(task, values, share)
            trial.report(found, round(9 * share))
            is_pruned = share < 1 and trial.should_prune()
            yield share - before, found if share == 1 else None
            before = share
            if is_pruned:
                break
        if is_pruned:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            study.tell(trial, found)


CONTESTANTS: dict[str, Callable[[Task, int], Spent]] = {
    "random": lambda task, seed: infinito(task, seed, "random", (1.0,)),
    "tree": lambda task, seed: infinito(task, seed, "tree", (1.0,)),
    "random_rungs": lambda task, seed: infinito(task, seed, "random", SHARES),
    "tree_rungs": lambda task, seed: infinito(task, seed, "tree", SHARES),
    "optuna5_hyperband": hyperband,
}


def play(run: Spent) -> list[float]:
    """Return the least final regret within each budget; 1, a median draw's, before there is one."""
    spent, best = 0.0, 1.0
    found: list[float] = []
    for cost, regret in run:
        spent += cost
        while len(found) < len(BUDGETS) and spent > BUDGETS[len(found)] + 1e-9:
            found.append(best)
        if len(found) == len(BUDGETS):
            return found
        best = best if regret is None else min(best, regret)
    raise AssertionError("a search ended before its budget")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("samplers", nargs="+", choices=CONTESTANTS)
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 10))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    path = HERE / "results.csv"
    for seed in range(*arguments.seeds):
        for name in arguments.samplers:
            for task in reported():
                if task.name not in NAMES:
                    continue
                key = [name, task.name, str(seed)]
                rows = list(csv.reader(path.open())) if path.exists() else []
                if key in [row[:3] for row in rows]:
                    continue
                regrets = [f"{each:.6g}" for each in play(CONTESTANTS[name](task, seed))]
                with path.open("a", newline="") as file:
                    if not rows:
                        header = ["sampler", "task", "seed"]
                        csv.writer(file).writerow([*header, *(f"regret_{b}" for b in BUDGETS)])
                    csv.writer(file).writerow([*key, *regrets])


if __name__ == "__main__":
    main()
