"""How much compute does a search need to reach the regret that random search has in the end?

    python experiments/fidelity/study.py <contestant> … [--spaces …] [--seeds 0 10]

Resumable; runs.csv has a row for each run: the regret of the best whole training so far at each
fortieth of the budget.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import time
from pathlib import Path

import numpy as np
from contestants import CONTESTANTS
from spaces import SPACES, Curves, load
from training_table import BudgetSpent, Trainer

RUNS = Path(__file__).parent / "runs.csv"

BUDGET = 40.0
"""Compute of a run, in whole trainings of average cost."""

MARKS = np.arange(1, 161) / 160 * BUDGET
"""Where the regret is kept."""

NOTHING = 2.0
"""Regret while no training has come to its end."""


def run(contestant: str, curves: Curves, seed: int) -> tuple[np.ndarray, int, float]:
    """Return the regret at the marks, the number of trials and the CPU seconds of a run."""
    trainer = Trainer(curves, BUDGET)
    started_s = time.process_time()
    with contextlib.suppress(BudgetSpent):
        CONTESTANTS[contestant](trainer, seed)
    regrets = np.full(len(MARKS), NOTHING)
    for spent, regret in trainer.found:
        regrets[spent <= MARKS] = min(regret, NOTHING)
    return regrets, trainer.trials, time.process_time() - started_s


def main() -> None:
    """Run what is missing, seed by seed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("contestants", nargs="+", choices=CONTESTANTS)
    parser.add_argument("--spaces", nargs="*", default=list(SPACES))
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 10))
    arguments = parser.parse_args()
    tables = {name: load(name) for name in arguments.spaces}
    for seed in range(*arguments.seeds):
        for name, curves in tables.items():
            for contestant in arguments.contestants:
                if (contestant, name, seed) not in read_runs():
                    append(contestant, name, seed, *run(contestant, curves, seed))


def read_runs() -> dict[tuple[str, str, int], np.ndarray]:
    """Return the regrets at the marks by contestant, space and seed."""
    if not RUNS.exists():
        return {}
    with RUNS.open(newline="", encoding="utf-8") as file:
        return {
            (contestant, space, int(seed)): expand(steps)
            for contestant, space, seed, _, _, steps in list(csv.reader(file))[1:]
        }


def append(
    contestant: str, space: str, seed: int, regrets: np.ndarray, trials: int, cpu_s: float
) -> None:
    """Add a row, below the heading where the file is new."""
    is_new = not RUNS.exists()
    with RUNS.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        if is_new:
            writer.writerow(["contestant", "space", "seed", "trials", "cpu_s", "regrets"])
        writer.writerow([contestant, space, seed, trials, f"{cpu_s:.2f}", shorten(regrets)])


def shorten(regrets: np.ndarray) -> str:
    """Write where the regret changes: `mark:regret` for each change."""
    changes = np.flatnonzero(np.diff(regrets, prepend=np.inf))
    return " ".join(f"{at}:{regrets[at]:.4g}" for at in changes)


def expand(text: str) -> np.ndarray:
    """Read what `shorten` wrote."""
    regrets = np.empty(len(MARKS))
    for word in text.split():
        at, regret = word.split(":")
        regrets[int(at) :] = float(regret)
    return regrets


if __name__ == "__main__":
    main()
