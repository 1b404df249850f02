"""Four workers and trials of unequal length: asking at each end against asking batch by batch.

    python experiments/search_benchmark/asynchronous.py [--seeds 0 10]

The clock is simulated: a trial lasts 1 to 8 units, log-uniform and drawn by its number in the run,
whatever its parameters. Both ways get the same time. Resumable; asynchronous.csv holds a row for
each task and seed. Prints the table of README.md.
"""

from __future__ import annotations

import argparse
import csv
import heapq
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from contestants import make_space
from scipy.stats import bootstrap
from tasks import Task, reported

from infinito.search.search import Search

RESULTS = Path(__file__).parent / "asynchronous.csv"
COLUMNS = ("task", "seed", "way", "trials", "busy", "regret")
WORKERS, SHORTEST, LONGEST, BUDGET = 4, 1.0, 8.0, 50.0


def draw_lengths(seed: int) -> Iterator[float]:
    """Yield the lengths of trials, the same for both ways."""
    rng = np.random.default_rng([seed, 17])
    while True:
        yield math.exp(rng.uniform(math.log(SHORTEST), math.log(LONGEST)))


def run_asynchronous(task: Task, seed: int) -> tuple[int, float, float]:
    """Return trials that ended in time, share of the workers' time in them, and regret."""
    search, lengths = Search(make_space(task), seed=seed), draw_lengths(seed)
    flights: list[tuple[float, int, float]] = []
    best, count, busy, now = math.inf, 0, 0.0, 0.0
    while True:
        while len(flights) < WORKERS:
            (trial,) = search.ask(1)
            length = next(lengths)
            heapq.heappush(flights, (now + length, trial.number, length))
        now, number, length = heapq.heappop(flights)
        if now > BUDGET:
            return count, busy / (WORKERS * BUDGET), task.regret(best)
        value = task.evaluate(search.trials[number].params)
        search.tell(number, value)
        best, count, busy = min(best, value), count + 1, busy + length


def run_batches(task: Task, seed: int) -> tuple[int, float, float]:
    """Return the same of batches, the last of which counts as far as it came in time."""
    search, lengths = Search(make_space(task), seed=seed), draw_lengths(seed)
    best, count, busy, now = math.inf, 0, 0.0, 0.0
    while now < BUDGET:
        batch = [(trial, next(lengths)) for trial in search.ask(WORKERS)]
        for trial, length in batch:
            value = task.evaluate(trial.params)
            search.tell(trial.number, value)
            if now + length <= BUDGET:
                best, count, busy = min(best, value), count + 1, busy + length
        now += max(length for _, length in batch)
    return count, busy / (WORKERS * BUDGET), task.regret(best)


WAYS = {"at each end": run_asynchronous, "batches": run_batches}


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 10))
    arguments = parser.parse_args()
    tasks = reported()
    for seed in range(*arguments.seeds):
        for task in tasks:
            for way, run in WAYS.items():
                if (task.name, str(seed), way) not in load():
                    append((task.name, seed, way, *run(task, seed)))
    report()


def report() -> None:
    """Print regret by task, and the ratio over tasks with its interval."""
    rows = load()
    print("| task | seeds | trials | busy | regret at each end | in batches | ratio |")
    print("|---|---|---|---|---|---|---|")
    pairs = []
    for task in dict.fromkeys(name for name, _, _ in rows):
        ways = {
            way: [row for (name, _, each), row in rows.items() if (name, each) == (task, way)]
            for way in WAYS
        }
        means = {
            way: {
                column: float(np.mean([float(row[column]) for row in found]))
                for column in ("trials", "busy", "regret")
            }
            for way, found in ways.items()
        }
        first, second = (means[way] for way in WAYS)
        pairs.append((first["regret"], second["regret"]))
        print(
            f"| {task} | {min(map(len, ways.values()))} "
            f"| {first['trials']:.0f}, {second['trials']:.0f} "
            f"| {first['busy']:.0%}, {second['busy']:.0%} "
            f"| {first['regret']:.4f} | {second['regret']:.4f} "
            f"| {first['regret'] / max(second['regret'], 1e-12):.2f} |"
        )
    table = np.array(pairs)

    def ratio(first: np.ndarray, second: np.ndarray, axis: int = -1) -> np.ndarray:
        return first.mean(axis=axis) / second.mean(axis=axis)

    interval = bootstrap(tuple(table.T), ratio, paired=True, rng=0).confidence_interval
    print(
        f"\nmean regret over tasks: {table[:, 0].mean():.4f} and {table[:, 1].mean():.4f}, ratio "
        f"{ratio(*table.T):.2f} [{interval.low:.2f}, {interval.high:.2f}] (95 %, tasks drawn anew)"
    )


def load() -> dict[tuple[str, str, str], dict[str, str]]:
    """Return the finished runs by task, seed and way."""
    if not RESULTS.exists():
        return {}
    with RESULTS.open(newline="", encoding="utf-8") as file:
        return {(row["task"], row["seed"], row["way"]): row for row in csv.DictReader(file)}


def append(row: tuple) -> None:
    """Add a row, below the heading where the file is new."""
    is_new = not RESULTS.exists()
    with RESULTS.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if is_new:
            writer.writerow(COLUMNS)
        name, seed, way, trials, busy, regret = row
        writer.writerow([name, seed, way, trials, f"{busy:.4f}", f"{regret:.6g}"])


if __name__ == "__main__":
    main()
