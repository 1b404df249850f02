"""Validation loss of the small character recipe for every attention, over seeds.

    python experiments/shakespeare_char/study.py --text <tiny Shakespeare's input.txt>

Resumable: a (attention, seed) that stands in results.csv is not run again. Writes results.csv,
table.md and plot.png beside this file.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from infinito.statistics import mean_interval

HERE = Path(__file__).parent
ATTENTIONS = ("dot", "l1", "l2", "sq_l2", "cosine", "linf", "lp")
FIELDS = ("attention", "seed", "loss", "best_step", "tokens_per_s", "parameters")
PUBLISHED = 1.88


def main() -> None:
    """Run what is missing, a seed of every attention after the other, then write the report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--text", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--attentions", nargs="*", choices=ATTENTIONS)
    arguments = parser.parse_args()
    for seed in range(arguments.seeds):
        for attention in arguments.attentions or ATTENTIONS:
            if not any(r["attention"] == attention and r["seed"] == str(seed) for r in results()):
                record(attention, seed, arguments.text, arguments.threads)
    if all(len([r for r in results() if r["attention"] == a]) > 1 for a in ATTENTIONS):
        report()


def results() -> list[dict[str, str]]:
    """Return the finished runs."""
    path = HERE / "results.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def record(attention: str, seed: int, text: str, threads: int) -> None:
    """Run one training and append its result."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable, "-m", "infinito.run", "+experiment=shakespeare_char",
            f"data.path={text}", f"attention={attention}", f"seed={seed}",
            f"trainer.threads={threads}", "trainer.progress_bar=false",
            f"hydra.run.dir={folder}",
        ]  # fmt: skip
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        summary = json.loads((Path(folder) / "summary.json").read_text())
    row = {
        "attention": attention,
        "seed": seed,
        "loss": round(summary["val/loss"], 5),
        "best_step": summary["best_step"],
        "tokens_per_s": round(summary["tokens_per_s"]),
        "parameters": summary["parameters"],
    }
    new = not (HERE / "results.csv").exists()
    with (HERE / "results.csv").open("a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        if new:
            writer.writeheader()
        writer.writerow(row)
    print(row, flush=True)


def report() -> None:
    """Write table.md and plot.png: means, and paired differences to dot with 95 % t intervals."""
    losses = {
        name: {r["seed"]: float(r["loss"]) for r in results() if r["attention"] == name}
        for name in ATTENTIONS
    }
    lines = [
        "| attention | validation loss, nats/char | by seed | minus dot, 95 % interval |",
        "|---|---|---|---|",
    ]
    for name, by_seed in losses.items():
        values = [by_seed[seed] for seed in sorted(by_seed)]
        gaps = np.array([by_seed[seed] - losses["dot"][seed] for seed in sorted(by_seed)])
        half = mean_interval(gaps).half_width
        paired = "" if name == "dot" else f"{gaps.mean():+.4f} ± {half:.4f}"
        listed = ", ".join(f"{value:.4f}" for value in values)
        lines.append(f"| {name} | {np.mean(values):.4f} | {listed} | {paired} |")
    (HERE / "table.md").write_text("\n".join(lines) + "\n")
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axis = figure.subplots()
    for place, (name, by_seed) in enumerate(losses.items()):
        axis.plot([place] * len(by_seed), list(by_seed.values()), "o", alpha=0.7)
        axis.annotate(name, (place, max(by_seed.values())), (0, 6), textcoords="offset points")
    axis.axhline(PUBLISHED, linestyle="--", color="grey", label="published, dot")
    axis.set_xticks([])
    axis.set_xlim(-0.5, len(losses))
    axis.set_ylabel("validation loss, nats/char")
    axis.legend()
    figure.savefig(HERE / "plot.png", dpi=130)


if __name__ == "__main__":
    main()
