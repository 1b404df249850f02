"""table.md and plot.png from the runs that results/ holds so far.

    python report.py

Regret is counted in each task's scale (see tasks.py), averaged over seeds, then over tasks.
Samplers are compared on the runs (task, seed) that both have; the interval is that of the mean
difference, from 5000 bootstrap draws of seeds within each task.
"""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from pathlib import Path

import matplotlib as mpl
import numpy as np
from scipy.stats import rankdata
from study import MARKS
from tasks import reported

HERE = Path(__file__).parent
OURS = "tree"
LABELS = {
    "tree": "infinito tree",
    "surrogate_alone": "its surrogate without the tree",
    "optuna49_gp": "Optuna 4.9 GP",
    "optuna5_tpe": "Optuna 5 TPE",
    "optuna49_tpe_multivariate": "Optuna 4.9 TPE, multivariate",
    "uct": "plain UCT",
    "random": "random",
    "tree_4_in_flight": "infinito tree, 4 in flight",
}
RANKED = ("tree", "optuna5_tpe", "optuna49_tpe_multivariate", "random")
"""Samplers with the most runs in common: ranks are theirs."""

Runs = dict[tuple[str, int], dict[str, float]]


def load() -> tuple[dict[str, Runs], list[str]]:
    """Return regrets at the marks and times, by sampler and (task, seed), and the tasks' names."""
    tasks = {task.name: task for task in reported()}
    table: dict[str, Runs] = {}
    for name in LABELS:
        for path in sorted((HERE / "results").glob(f"{name}*.csv"), reverse=True):
            if path.stem.removeprefix(name) not in ("", "_50_trials"):
                continue
            with path.open() as file:
                for row in csv.DictReader(file):
                    task = tasks[row["task"]]
                    regret = {f"{m}": task.regret(float(row[f"best_{m}"])) for m in MARKS}
                    times = {"ms_50": float(row["ms_50"]), "ms_200": float(row["ms_200"])}
                    runs = table.setdefault(name, {})
                    runs[row["task"], int(row["seed"])] = {**regret, **times}
    return table, list(tasks)


def mean(runs: Runs, keys: list[tuple[str, int]], column: str) -> float:
    """Return the mean over tasks of means over seeds; NaN where a task of the keys has none."""
    by_task = defaultdict(list)
    for key in keys:
        if not math.isnan(runs[key][column]):
            by_task[key[0]].append(runs[key][column])
    if not keys or set(by_task) < {task for task, _ in keys}:
        return math.nan
    return float(np.mean([np.mean(values) for values in by_task.values()]))


def difference(first: Runs, second: Runs, column: str) -> tuple[float, float, float, int]:
    """Return the mean of first − second over common runs, its 95 % interval, and their number."""
    by_task = defaultdict(list)
    for key in first.keys() & second.keys():
        change = first[key][column] - second[key][column]
        if not math.isnan(change):
            by_task[key[0]].append(change)
    if not by_task:
        return math.nan, math.nan, math.nan, 0
    rng = np.random.default_rng(0)
    draws = np.zeros(5000)
    for task in sorted(by_task):
        values = np.sort(by_task[task])
        if len(values) < 2:  # one run has no spread to draw from
            draws += np.nan
            continue
        draws += rng.choice(values, (5000, len(values))).mean(axis=1) / len(by_task)
    low, high = np.quantile(draws, [0.025, 0.975])
    middle = np.mean([np.mean(values) for values in by_task.values()])
    return float(middle), float(low), float(high), sum(map(len, by_task.values()))


def mean_ranks(table: dict[str, Runs], names: list[str], column: str) -> dict[str, float]:
    """Return the mean rank over the runs that all of these samplers have; 1 is best."""
    common = sorted(set.intersection(*(set(table[name]) for name in names)))
    regrets = [[round(table[name][key][column], 9) for name in names] for key in common]
    return dict(zip(names, rankdata(regrets, axis=1).mean(axis=0), strict=True))


def write_table(table: dict[str, Runs], tasks: list[str]) -> None:
    names = [name for name in LABELS if name in table]
    ranked = [name for name in names if name in RANKED]
    lines = [
        "| sampler | runs | regret at 50 | regret at 200 | rank at 50 | rank at 200 | ms at 200 |",
        "|---|---|---|---|---|---|---|",
    ]
    ranks = {column: mean_ranks(table, ranked, column) for column in ("50", "200")}
    for name in names:
        runs = table[name]
        numbers = [f"{mean(runs, list(runs), column):.4f}" for column in ("50", "200")]
        numbers += [f"{ranks[c][name]:.2f}" if name in ranked else "" for c in ("50", "200")]
        numbers.append(f"{mean(runs, list(runs), 'ms_200'):.1f}")
        lines.append(f"| {LABELS[name]} | {len(runs)} | {' | '.join(numbers)} |")
    lines += [
        "",
        f"Differences from {LABELS[OURS]} on common runs (negative: the tree has less regret):",
        "",
        "| against | at 50 (runs) | at 200 (runs) |",
        "|---|---|---|",
    ]
    for name in names:
        if name == OURS:
            continue
        found = [difference(table[OURS], table[name], column) for column in ("50", "200")]
        cells = [f"{d:+.4f} [{low:+.4f}, {high:+.4f}] ({n})" for d, low, high, n in found]
        row = " | ".join(cells).replace("+nan [+nan, +nan] (0)", "–").replace("[+nan, +nan]", "–")
        lines.append(f"| {LABELS[name]} | {row} |")
    lines += ["", "Regret by task at 50 / 200, each sampler over its own seeds:", ""]
    heads = " | ".join(LABELS[name] for name in names)
    lines += [f"| task | {heads} |", "|---" * (len(names) + 1) + "|"]
    for task in tasks:
        cells = []
        for name in names:
            keys = [key for key in table[name] if key[0] == task]
            cells.append(
                " / ".join(f"{mean(table[name], keys, c):.4f}" for c in ("50", "200"))
                if keys
                else "–"
            )
        lines.append(f"| {task} | {' | '.join(cells)} |")
    text = "\n".join(lines).replace("nan", "–").replace("-0.0000 ", "0.0000 ")
    (HERE / "table.md").write_text(text + "\n", encoding="utf-8")


def plot(table: dict[str, Runs]) -> None:
    mpl.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for name, runs in table.items():
        curve = [mean(runs, list(runs), f"{mark}") for mark in MARKS]
        axes.plot(MARKS, curve, marker="o", markersize=3, label=LABELS[name])
    axes.set(xlabel="trials", ylabel="mean normalised regret", yscale="log", xscale="log")
    axes.set_xticks(MARKS, [str(mark) for mark in MARKS])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)
    figure.savefig(HERE / "plot.png", dpi=130)


if __name__ == "__main__":
    found, task_names = load()
    write_table(found, task_names)
    plot(found)
