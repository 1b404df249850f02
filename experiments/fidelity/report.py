"""Writes table.md and plot.png from runs.csv.

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
RESAMPLES = 2000

Runs = dict[str, dict[str, np.ndarray]]
"""By contestant and space: (seeds, marks)."""


def collect() -> Runs:
    """Return the regrets of the contestants that have runs in every space."""
    found: dict[str, dict[str, list]] = {}
    for (contestant, space, _), regrets in sorted(read_runs().items()):
        found.setdefault(contestant, {}).setdefault(space, []).append(regrets)
    return {
        name: {space: np.array(each) for space, each in found[name].items()}
        for name in CONTESTANTS
        if name in found
    }


def reach(regrets: np.ndarray, goal: float) -> float:
    """Return the share of the budget at which a mean regret (marks,) comes to a goal, at most 1."""
    there = np.flatnonzero(regrets <= goal + 1e-12)
    return float(MARKS[there[0]] / BUDGET) if len(there) else 1.0


def measure(runs: Runs, spaces: list[str], rng: np.random.Generator | None) -> dict[str, list]:
    """Return the compute to reach by contestant, for each space; of seeds drawn anew with `rng`."""
    goals, found = {}, {}
    for name in [YARDSTICK, *(each for each in runs if each != YARDSTICK)]:
        found[name] = []
        for space in spaces:
            if space not in runs[name]:
                found[name].append(np.nan)
                continue
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
    spaces = [space for space in SPACES if space in runs[YARDSTICK]]
    once = measure(runs, spaces, None)
    rng = np.random.default_rng(0)
    draws = [measure(runs, spaces, rng) for _ in range(RESAMPLES)]
    lines = [
        f"| search | seeds | {' | '.join(spaces)} | all | {OURS} over it | regret at 10, 40 |",
        "|---" * (len(spaces) + 5) + "|",
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
        at = [np.searchsorted(MARKS, 10), len(MARKS) - 1]
        regrets = np.mean([each.mean(axis=0)[at] for each in runs[name].values()], axis=0)
        lines.append(
            f"| {name} | {seeds} | {' | '.join(cells)} | {whole} | {ratio} "
            f"| {regrets[0]:.3f}, {regrets[1]:.3f} |"
        )
    text = "\n".join(lines) + "\n"
    (HERE / "table.md").write_text(text, encoding="utf-8")
    print(text)
    draw_plot(runs, spaces)


def _gets_there(runs: Runs, name: str, space: str) -> bool:
    if space not in runs[name]:
        return False
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
            if space in runs[name]:
                mean = np.maximum(runs[name][space].mean(axis=0), 1e-3)
                style = {"lw": 2.4} if name.startswith("infinito") else {"lw": 1.1}
                axis.plot(MARKS, mean, label=name, color=f"C{at % 10}", **style)
        axis.axhline(runs[YARDSTICK][space].mean(axis=0)[-1], color="grey", ls=":", lw=1)
        axis.set(title=space.replace("_", " "), yscale="log", xlabel="compute, whole trainings")
    np.atleast_1d(axes)[0].set_ylabel("mean regret of the best whole training")
    np.atleast_1d(axes)[-1].legend(fontsize=6)
    figure.tight_layout()
    figure.savefig(HERE / "plot.png", dpi=110)


if __name__ == "__main__":
    main()
