"""The true regret of what a search recommends where scores are noisy.

    python experiments/search_benchmark/noise.py [--trials 50] [--seeds 0 10] [--samplers …]

Each score has Gaussian noise of 10 % or 30 % of the spread: the median of uniform draws minus the
least value. What counts is the value without noise of the recommended point: for infinito
`Search.recommend`, for the others the best score that was seen. Resumable; noise.csv holds a row
for each run. Prints the table of README.md.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from contestants import make_space, suggest
from tasks import Task, reported

from infinito.search.search import Search
from infinito.statistics import mean_interval

RESULTS = Path(__file__).parent / "noise.csv"
COLUMNS = ("sampler", "task", "noise", "trials", "seed", "regret")
NOISES = (0.1, 0.3)
OURS = "tree, auto"


def make_noisy(task: Task, noise: float, seed: int) -> Callable[[dict], float]:
    """Return the function with noise; every call draws anew."""
    rng = np.random.default_rng([seed, 23])
    return lambda values: task.evaluate(values) + noise * task.scale * rng.standard_normal()


def search_by_tree(task: Task, noise: float, trials: int, seed: int, repeats: int | str) -> float:
    """Return the regret of what infinito recommends."""
    score = make_noisy(task, noise, seed)
    search = Search(make_space(task), seed=seed, repeats=repeats)
    for _ in range(trials):
        (trial,) = search.ask(1)
        search.tell(trial.number, score(trial.params))
    found = search.recommend()
    assert found is not None
    return task.regret(task.evaluate(found.params))


def search_by_optuna(task: Task, noise: float, trials: int, seed: int, name: str) -> float:
    """Return the regret of the best score that one of Optuna's samplers saw."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    score = make_noisy(task, noise, seed)
    sampler = getattr(optuna.samplers, name)(seed=seed)
    study = optuna.create_study(sampler=sampler)
    study.optimize(lambda trial: score(suggest(trial, task)), n_trials=trials)
    return task.regret(task.evaluate(study.best_params))


SAMPLERS: dict[str, Callable[[Task, float, int, int], float]] = {
    OURS: partial(search_by_tree, repeats="auto"),
    "tree": partial(search_by_tree, repeats=1),
    "tree, 2 each": partial(search_by_tree, repeats=2),
    "Optuna TPE": partial(search_by_optuna, name="TPESampler"),
    "random": partial(search_by_optuna, name="RandomSampler"),
    "Optuna GP": partial(search_by_optuna, name="GPSampler"),
}


def main() -> None:
    """Run what is missing, a seed of every sampler after the other, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--samplers", nargs="*", choices=SAMPLERS, default=list(SAMPLERS)[:-1])
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 10))
    parser.add_argument("--report", action="store_true", help="only print what is there")
    arguments = parser.parse_args()
    tasks = [] if arguments.report else reported()
    done = set(load())
    for seed in range(*arguments.seeds):
        for task in tasks:
            for noise in NOISES:
                for name in arguments.samplers:
                    key = (name, task.name, str(noise), str(arguments.trials), str(seed))
                    if key not in done:
                        regret = SAMPLERS[name](task, noise, arguments.trials, seed)
                        append((*key, f"{regret:.6g}"))
    report()


def report() -> None:
    """Print each sampler's mean regret, and the difference from ours, paired by task and seed."""
    runs = load()
    print(f"| noise | trials | sampler | runs | regret | {OURS} minus it, 95 % interval |")
    print("|---|---|---|---|---|---|")
    for noise, trials in sorted({(noise, trials) for _, _, noise, trials, _ in runs}):
        for name in SAMPLERS:
            found = {
                (task, seed): regret
                for (sampler, task, each, count, seed), regret in runs.items()
                if (sampler, each, count) == (name, noise, trials)
            }
            if not found:
                continue
            by_task: dict[str, list[float]] = {}
            for (task, seed), regret in found.items():
                ours = runs.get((OURS, task, noise, trials, seed))
                if ours is not None and name != OURS:
                    by_task.setdefault(task, []).append(ours - regret)
            compared = ""
            if len(by_task) > 1:
                interval = mean_interval([float(np.mean(each)) for each in by_task.values()])
                compared = f"{interval.mean:+.3f} ± {interval.half_width:.3f}"
            mean = np.mean(list(found.values()))
            print(
                f"| {float(noise):.0%} | {trials} | {name} | {len(found)} | {mean:.3f} "
                f"| {compared} |"
            )


def load() -> dict[tuple[str, ...], float]:
    """Return the regret of finished runs by sampler, task, noise, trials and seed."""
    if not RESULTS.exists():
        return {}
    with RESULTS.open(newline="", encoding="utf-8") as file:
        return {tuple(row[:-1]): float(row[-1]) for row in list(csv.reader(file))[1:]}


def append(row: tuple) -> None:
    """Add a row, below the heading where the file is new."""
    is_new = not RESULTS.exists()
    with RESULTS.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if is_new:
            writer.writerow(COLUMNS)
        writer.writerow(row)


if __name__ == "__main__":
    main()
