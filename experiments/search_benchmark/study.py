"""Runs samplers on tasks, one CSV row a run; what is already there is not run again.

python study.py tree --seeds 0 20           # see README.md for each sampler's environment
"""

from __future__ import annotations

import argparse
import csv
import itertools
import math
from pathlib import Path

import numpy as np
from contestants import CONTESTANTS
from tasks import reported

MARKS = (10, 25, 50, 75, 100, 150, 200)
COLUMNS = ("sampler", "task", "seed", *(f"best_{mark}" for mark in MARKS), "ms_50", "ms_200")
HERE = Path(__file__).parent


def measured(name: str, task, seed: int, trials: int) -> list[float]:
    """Return the best values at the marks, and CPU milliseconds a trial near trials 50 and 200."""
    run = list(itertools.islice(CONTESTANTS[name](task, seed), trials))
    run += [run[-1]] * (trials - len(run))
    best = np.minimum.accumulate([value for value, _ in run])
    spent = np.array([seconds for _, seconds in run]) * 1e3
    reached = [best[mark - 1] if mark <= trials else math.nan for mark in MARKS]
    return [*reached, spent[40:60].mean(), spent[-20:].mean() if trials == MARKS[-1] else math.nan]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("sampler", choices=CONTESTANTS)
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 20))
    parser.add_argument("--tasks", nargs="*")
    parser.add_argument("--trials", type=int, default=MARKS[-1])
    arguments = parser.parse_args()
    short = "" if arguments.trials == MARKS[-1] else f"_{arguments.trials}_trials"
    path = HERE / "results" / f"{arguments.sampler}{short}.csv"
    path.parent.mkdir(exist_ok=True)
    done = set()
    if path.exists():
        with path.open() as file:
            done = {(row["task"], int(row["seed"])) for row in csv.DictReader(file)}
    tasks = [t for t in reported() if not arguments.tasks or t.name in arguments.tasks]
    for seed in range(*arguments.seeds):
        for task in tasks:
            if (task.name, seed) in done:
                continue
            row = measured(arguments.sampler, task, seed, arguments.trials)
            with path.open("a", newline="") as file:
                if not file.tell():
                    csv.writer(file).writerow(COLUMNS)
                rounded = [f"{number:.7g}" for number in row]
                csv.writer(file).writerow([arguments.sampler, task.name, seed, *rounded])


if __name__ == "__main__":
    main()
