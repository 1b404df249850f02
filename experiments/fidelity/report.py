"""Writes the tables of README.md and plot.png from runs.csv.

Compute to reach: the first mark at which the mean regret over seeds is at most that of random
search after the whole budget, as a share of the budget. A search that never gets there counts as
1 and is marked. Intervals are percentiles over seeds that are drawn anew, for all searches alike.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from contestants import CONTESTANTS
from spaces import SPACES
from study import BUDGET, MARKS, read_runs

HERE = Path(__file__).parent
OURS, YARDSTICK = "infinito, fidelity", "random"
RESAMPLES, FEWEST = 2000, 4
COMPARED = (10, 20, 40)
BEGIN, END = "<!-- table -->", "<!-- end -->"

Runs = dict[str, dict[str, np.ndarray]]
"""By contestant and space: (seeds, marks)."""


def collect() -> Runs:
    """Return the regrets of the contestants that have `FEWEST` runs in every space."""
    found: dict[str, dict[str, list]] = {}
    for (contestant, space, _), regrets in sorted(read_runs().items()):
        found.setdefault(contestant, {}).setdefault(space, []).append(regrets)
    return {
        name: {space: np.array(each) for space, each in found[name].items()}
        for name in CONTESTANTS
        if all(len(found.get(name, {}).get(space, ())) >= FEWEST for space in SPACES)
    }


def reach(regrets: np.ndarray, goal: float) -> float:
    """Return the share of the budget at which a mean regret (marks,) comes to a goal, at most 1."""
    there = np.flatnonzero(regrets <= goal + 1e-12)
    return float(MARKS[there[0]] / BUDGET) if len(there) else 1.0


def measure(runs: Runs, spaces: list[str], rng: np.random.Generator | None) -> dict[str, list]:
    """Return the compute to reach by contestant, for each space; of seeds drawn anew with `rng`."""
    goals: dict[str, float] = {}
    found: dict[str, list] = {}
    for name in [YARDSTICK, *(each for each in runs if each != YARDSTICK)]:
        found[name] = []
        for space in spaces:
            regrets = runs[name][space]
            if rng is not None:
                regrets = regrets[rng.integers(len(regrets), size=len(regrets))]
            mean = regrets.mean(axis=0)
            goals.setdefault(space, mean[-1])
            found[name].append(reach(mean, goals[space]))
    return found


def main() -> None:
    """Write both."""
    runs = collect()
    spaces = list(SPACES)
    once = measure(runs, spaces, None)
    rng = np.random.default_rng(0)
    draws = [measure(runs, spaces, rng) for _ in range(RESAMPLES)]
    lines = [
        f"| search | seeds | {' | '.join(spaces)} | all | {OURS} over it |",
        "|---" * (len(spaces) + 4) + "|",
    ]
    ours = np.log(once[OURS])
    for name in runs:
        logs = np.log(once[name])
        drawn = np.array([np.log(draw[name]) for draw in draws])
        whole = _interval(logs.mean(), drawn.mean(axis=1))
        ratio = ""
        if name != OURS:
            against = np.array([np.log(draw[OURS]) for draw in draws]) - drawn
            ratio = _interval((ours - logs).mean(), against.mean(axis=1))
        cells = [
            f"{share:.2f}" + ("+" if not _gets_there(runs, name, space) else "")
            for share, space in zip(once[name], spaces, strict=True)
        ]
        seeds = min(len(each) for each in runs[name].values())
        lines.append(f"| {name} | {seeds} | {' | '.join(cells)} | {whole} | {ratio} |")
    lines += ["", *compare_regrets(runs, rng)]
    text = "\n".join(lines) + "\n"
    readme = (HERE / "README.md").read_text(encoding="utf-8")
    head, rest = readme.split(BEGIN)
    tail = rest.split(END)[1]
    (HERE / "README.md").write_text(f"{head}{BEGIN}\n{text}{END}{tail}", encoding="utf-8")
    print(text)
    draw_plot(runs, spaces)


def compare_regrets(runs: Runs, rng: np.random.Generator) -> list[str]:
    """Return a table of the mean regret over spaces after some compute, with ours minus it."""
    lines = [
        f"| search | {' | '.join(f'regret at {mark}, ours minus it' for mark in COMPARED)} |",
        "|---" * (len(COMPARED) + 1) + "|",
    ]
    for name in runs:
        cells = []
        for mark in COMPARED:
            at = int(np.searchsorted(MARKS, mark))
            own, other = ([each[:, at] for each in runs[who].values()] for who in (OURS, name))
            mean = np.mean([each.mean() for each in other])
            gap = np.mean([each.mean() for each in own]) - mean
            draws = [
                np.mean(
                    [_redraw(a, rng) - _redraw(b, rng) for a, b in zip(own, other, strict=True)]
                )
                for _ in range(RESAMPLES)
            ]
            low, high = np.percentile(draws, [2.5, 97.5])
            more = "" if name == OURS else f", {gap:+.3f} [{low:+.3f}, {high:+.3f}]"
            cells.append(f"{mean:.3f}{more}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _redraw(values: np.ndarray, rng: np.random.Generator) -> float:
    """Return the mean of values that are drawn anew."""
    return float(values[rng.integers(len(values), size=len(values))].mean())


def _gets_there(runs: Runs, name: str, space: str) -> bool:
    goal = runs[YARDSTICK][space].mean(axis=0)[-1]
    return bool(runs[name][space].mean(axis=0)[-1] <= goal + 1e-12)


def _interval(mean: float, draws: np.ndarray) -> str:
    low, high = np.exp(np.percentile(draws, [2.5, 97.5]))
    return f"{np.exp(mean):.2f} [{low:.2f}, {high:.2f}]"


def draw_plot(runs: Runs, spaces: list[str]) -> None:
    """Draw mean regret against compute, a panel for each space."""
    figure, axes = plt.subplots(1, len(spaces), figsize=(4.4 * len(spaces), 3.8), sharey=True)
    for axis, space in zip(np.atleast_1d(axes), spaces, strict=True):
        for at, name in enumerate(runs):
            mean = np.maximum(runs[name][space].mean(axis=0), 1e-3)
            width = 2.4 if name.startswith("infinito") else 1.1
            axis.plot(MARKS, mean, label=name, color=f"C{at % 10}", lw=width)
        axis.axhline(runs[YARDSTICK][space].mean(axis=0)[-1], color="grey", ls=":", lw=1)
        axis.set(title=space.replace("_", " "), yscale="log", xlabel="compute, whole trainings")
    np.atleast_1d(axes)[0].set_ylabel("mean regret of the best whole training")
    np.atleast_1d(axes)[-1].legend(fontsize=6)
    figure.tight_layout()
    figure.savefig(HERE / "plot.png", dpi=110)


if __name__ == "__main__":
    main()
