"""table.md and README.md's table, from the runs that results/ holds.

    python report.py

Over decades regret is compared by its decimal logarithm, elsewhere as it is. Intervals are those of
the mean paired difference, from 5000 bootstrap draws of seeds.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).parent
SAMPLERS = {
    "tree": "tree",
    "tree_before": "tree before",
    "optuna5_tpe": "Optuna 5 TPE",
    "random": "random",
}
DECADES = ("decades", "exponentials", "steep")
MARK = "regret_100"

Regrets = dict[str, dict[str, dict[int, float]]]


def load() -> Regrets:
    """Regrets by sampler, task and seed."""
    found: Regrets = {}
    for name in SAMPLERS:
        with (HERE / "results" / f"{name}.csv").open() as file:
            for row in csv.DictReader(file):
                regret = float(row[MARK])
                if row["task"].startswith(DECADES):
                    regret = float(np.log10(max(regret, 1e-12)))
                found.setdefault(name, {}).setdefault(row["task"], {})[int(row["seed"])] = regret
    return found


def bound(changes: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 95 % interval of the mean."""
    draws = np.random.default_rng(0).choice(changes, (5000, len(changes))).mean(axis=1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def make_table(found: Regrets) -> str:
    names = list(SAMPLERS)
    heads = " | ".join(SAMPLERS[name] for name in names)
    others = [name for name in names if name != "tree"]
    against = " | ".join(f"tree − {SAMPLERS[name]}" for name in others)
    lines = [
        f"| task | {heads} | {against} |",
        "|---" * (1 + len(names) + len(others)) + "|",
    ]
    for task in found["tree"]:
        ours = found["tree"][task]
        cells = [f"{np.mean(list(found[name][task].values())):.3g}" for name in names]
        for name in others:
            theirs = found[name][task]
            changes = np.array([ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs)])
            low, high = bound(changes)
            cells.append(f"{changes.mean():+.3g} [{low:+.3g}, {high:+.3g}] ({len(changes)})")
        label = f"{task} (log10)" if task.startswith(DECADES) else task
        lines.append(f"| {label} | {' | '.join(cells)} |")
    hits = []
    for task in ("needle2", "needle3"):
        for name in names:
            known = list(found[name][task].values())
            hits.append(f"{SAMPLERS[name]} {sum(r < 1 for r in known)} of {len(known)}")
        lines += ["", f"{task} found by: " + ", ".join(hits) + "."]
        hits = []
    return "\n".join(lines)


def main() -> None:
    table = make_table(load())
    (HERE / "table.md").write_text(table + "\n", encoding="utf-8")
    readme = HERE / "README.md"
    if readme.exists():
        text = readme.read_text(encoding="utf-8")
        before, _, rest = text.partition("<!-- table -->")
        _, _, after = rest.partition("<!-- end -->")
        text = f"{before}<!-- table -->\n{table}\n<!-- end -->{after}"
        readme.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
