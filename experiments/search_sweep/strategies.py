"""Which strategy finds the best attention settings in fifty trials?

    python experiments/search_sweep/strategies.py [--seeds 5] [--out multirun/search_strategies]

Each sweep is `search=mcts_attention` with another strategy and seed. A killed study goes on where
it stopped: finished sweeps are read, an unfinished one is resumed.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from infinito.statistics import mean_interval
from infinito.sweeps.record.plan import JOURNAL, reopen

STRATEGIES = ("tree", "uct", "random")
AT = (10, 25, 50)
HERE = Path(__file__).parent


def main() -> None:
    """Run what is missing, then write results.csv, table.md and plot.png."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--out", type=Path, default=Path("multirun/search_strategies"))
    parser.add_argument("overrides", nargs="*")
    arguments = parser.parse_args()
    curves: dict[str, list[np.ndarray]] = {strategy: [] for strategy in STRATEGIES}
    for seed in range(arguments.seeds):
        for strategy in STRATEGIES:
            folder = arguments.out / f"{strategy}_{seed}"
            sweep(folder, strategy, seed, arguments.trials, arguments.overrides)
            curves[strategy].append(curve(folder, arguments.trials))
        report({name: np.array(found) for name, found in curves.items()})


def sweep(folder: Path, strategy: str, seed: int, trials: int, overrides: list[str]) -> None:
    """Run or resume one sweep; do nothing where it is complete."""
    resume = [f"hydra.sweeper.resume={folder}"] if (folder / JOURNAL).is_file() else []
    if resume and len(reopen(folder)[0].trials) >= trials:
        return
    settings = [f"strategy={strategy}", f"seed={seed}", f"n_trials={trials}", "report=false"]
    command = [sys.executable, "-m", "infinito.run", "-m", "search=mcts_attention", *overrides]
    command += [f"hydra.sweep.dir={folder}", *(f"hydra.sweeper.{each}" for each in settings)]
    subprocess.run([*command, *resume], check=True)


def curve(folder: Path, trials: int) -> np.ndarray:
    """Return the best validation loss after each trial."""
    search, _ = reopen(folder)
    losses = [each.values[0] if each.values else np.inf for each in search.trials[:trials]]
    return np.minimum.accumulate(losses)


def report(curves: dict[str, np.ndarray]) -> None:
    """Return the best losses at some trials, and paired differences to the tree's, 95 %."""
    at = [count for count in AT if count <= curves["tree"].shape[1]]
    with (HERE / "results.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["strategy", "seed", *(f"best_{count}" for count in at)])
        for strategy, found in curves.items():
            for seed, row in enumerate(found):
                writer.writerow([strategy, seed, *(row[count - 1] for count in at)])
    lines = ["| strategy | " + " | ".join(f"best of {count}" for count in at) + " |"]
    lines.append("|---" * (len(at) + 1) + "|")
    for strategy, found in curves.items():
        cells = [cell(found[:, count - 1], curves["tree"][:, count - 1]) for count in at]
        lines.append(f"| {strategy} | " + " | ".join(cells) + " |")
    (HERE / "table.md").write_text("\n".join(lines) + "\n")
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axis = figure.subplots()
    for strategy, found in curves.items():
        axis.plot(np.arange(1, found.shape[1] + 1), found.mean(0), label=strategy)
    axis.set_xlabel("trial")
    axis.set_ylabel("best validation loss (nats per token)")
    axis.legend(frameon=False)
    figure.savefig(HERE / "plot.png", dpi=130)


def cell(found: np.ndarray, tree: np.ndarray) -> str:
    """Return the mean, and mean difference to the tree's at the same seeds."""
    text = f"{found.mean():.4f}"
    if found is tree or np.array_equal(found, tree) or len(found) < 2:
        return text
    difference = found - tree
    half = mean_interval(difference).half_width
    return f"{text} ({difference.mean():+.4f} ± {half:.4f})"


if __name__ == "__main__":
    main()
