"""Runs samplers on awkward objectives, one CSV row a run; what is there is not run again.

python study.py tree optuna5_tpe random --seeds 0 10
PYTHONPATH=<checkout of 617a4d4> python study.py tree --label tree_before --seeds 0 10
"""

from __future__ import annotations

import argparse
import csv
import itertools
from pathlib import Path

import numpy as np
from functions import reported

from contestants import CONTESTANTS  # isort: skip  (functions adds the folder of the benchmark)

MARKS = (25, 50, 75, 100)
COLUMNS = ("sampler", "task", "seed", *(f"regret_{mark}" for mark in MARKS))
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("samplers", nargs="+", choices=CONTESTANTS)
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 10))
    parser.add_argument("--label", help="name of the results of one sampler")
    arguments = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    tasks = reported()
    for seed, sampler in itertools.product(range(*arguments.seeds), arguments.samplers):
        label = arguments.label or sampler
        path = RESULTS / f"{label}.csv"
        done = set()
        if path.exists():
            with path.open() as file:
                done = {(row["task"], int(row["seed"])) for row in csv.DictReader(file)}
        for task in tasks:
            if (task.name, seed) in done:
                continue
            run = itertools.islice(CONTESTANTS[sampler](task, seed), MARKS[-1])
            best = np.minimum.accumulate([value for value, _ in run])
            regrets = [f"{task.regret(best[mark - 1]):.6g}" for mark in MARKS]
            with path.open("a", newline="") as file:
                if not file.tell():
                    csv.writer(file).writerow(COLUMNS)
                csv.writer(file).writerow([label, task.name, seed, *regrets])


if __name__ == "__main__":
    main()
