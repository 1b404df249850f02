"""Dot, l1 and l2 attention, each at the settings that a search of equal budget finds for it.

    python experiments/attention_quality/own_recipes.py --text <input.txt>

Searches on the first nine tenths of the text, of which it validates on the last tenth; then trains
five paired seeds of every metric on the whole text, and compares on its last tenth, which no search
has read. Resumable: own_searches.csv holds what was found, own_recipes.csv the trainings compared.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from infinito.statistics import mean_interval

HERE = Path(__file__).parent
FOUND, RESULTS = HERE / "own_searches.csv", HERE / "own_recipes.csv"
METRICS = ("dot", "l1", "l2")
SEEDS = range(1, 6)
TRIALS = 12
SEARCHED = {
    "optimizer.lr": "tag(log, interval(1e-3, 3e-2))",
    "optimizer.matrix_lr": "tag(log, interval(5e-3, 1e-1))",
    "attention.scale": "tag(log, interval(0.3, 3.0))",
    "attention.learned_scale": "choice(false, true)",
}
"""Key → where it is searched, the same for all metrics."""
TRAINING = (
    "+experiment=shakespeare_char",
    "optimizer=muon",
    "optimizer.schedule=linear",
    "optimizer.warmup_steps=10",
    "trainer.max_steps=240",
    "trainer.validate_every=240",
    "trainer.threads=1",
)
"""240 steps of 12 × 64 characters through 4 layers of 128."""


def main() -> None:
    """Search for every metric, then train a seed of each after the other."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--text", type=Path, required=True, help="tiny Shakespeare's input.txt")
    parser.add_argument("--runs", type=Path, default=Path("multirun/own_recipes"))
    arguments = parser.parse_args()
    runs = arguments.runs.resolve()
    runs.mkdir(parents=True, exist_ok=True)
    whole = arguments.text.read_text(encoding="utf-8")
    shorter = runs / "first_nine_tenths.txt"
    shorter.write_text(whole[: len(whole) * 9 // 10], encoding="utf-8")
    best = {metric: search(metric, shorter, runs / metric) for metric in METRICS}
    for seed in SEEDS:
        for metric in METRICS:
            train(metric, seed, best[metric], arguments.text.resolve(), runs)
    report()


def search(metric: str, text: Path, folder: Path) -> dict[str, str]:
    """Return the best settings of a search, which goes on where it was stopped."""
    for row in read(FOUND):
        if row["metric"] == metric:
            return {key: row[key] for key in SEARCHED}
    sweeper = [f"hydra.sweeper.n_trials={TRIALS}", "hydra.sweeper.report=false"]
    if (folder / "journal.jsonl").exists():
        sweeper.append(f"hydra.sweeper.resume={folder}")
    ranges = [f"{key}={where}" for key, where in SEARCHED.items()]
    place = [f"attention={metric}", f"data.path={text}", f"hydra.sweep.dir={folder}"]
    call(["-m", "hydra/sweeper=mcts", "task=trial", *TRAINING, *place, *sweeper, *ranges])
    with (folder / "trials.csv").open(newline="", encoding="utf-8") as file:
        trials = [row for row in csv.DictReader(file) if row["state"] == "finished"]
    best = min(trials, key=lambda row: float(row["value"]))
    append(FOUND, {"metric": metric, "val_loss": best["value"], **{k: best[k] for k in SEARCHED}})
    return {key: best[key] for key in SEARCHED}


def train(metric: str, seed: int, found: Mapping[str, str], text: Path, runs: Path) -> None:
    """Append the loss of a training at the settings found, unless it is there."""
    if any((row["metric"], row["seed"]) == (metric, str(seed)) for row in read(RESULTS)):
        return
    folder = runs / f"{metric}_seed{seed}"
    shutil.rmtree(folder, ignore_errors=True)  # one that was stopped on its way
    settings = [f"{key}={value}" for key, value in found.items()]
    place = [f"attention={metric}", f"data.path={text}", f"seed={seed}", f"hydra.run.dir={folder}"]
    quiet = ["trainer.progress_bar=false", "trainer.sample_tokens=0"]
    call([*TRAINING, *place, *settings, *quiet])
    loss = json.loads((folder / "summary.json").read_text())["val/loss"]
    append(RESULTS, {"metric": metric, "seed": seed, "loss": round(loss, 4)})


def report() -> None:
    """Print each metric's loss, and its difference from dot, seed by seed."""
    losses: dict[str, dict[str, float]] = {}
    for row in read(RESULTS):
        losses.setdefault(row["metric"], {})[row["seed"]] = float(row["loss"])
    print("| attention | nats per character | minus dot, 95 % interval | by seed |")
    print("|---|---|---|---|")
    for metric, found in losses.items():
        seeds = sorted(found.keys() & losses["dot"].keys())
        mean = sum(found.values()) / len(found)
        differences = [found[seed] - losses["dot"][seed] for seed in seeds]
        compared = " | "
        if metric != "dot" and len(seeds) > 1:
            interval = mean_interval(differences)
            shown = ", ".join(f"{each:+.3f}" for each in differences)
            compared = f"{interval.mean:+.4f} ± {interval.half_width:.4f} | {shown}"
        print(f"| {metric} | {mean:.4f} | {compared} |")


def call(overrides: Sequence[str]) -> None:
    """Run the program on one thread.

    Raises:
        SystemExit: it failed; its last lines are the message.
    """
    command = [sys.executable, "-m", "infinito.run", *overrides]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit((done.stdout + done.stderr)[-2000:])


def read(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file, none where it is not there."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def append(path: Path, row: Mapping[str, object]) -> None:
    """Add a row to a CSV file, with its header where it is new."""
    is_new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row))
        if is_new:
            writer.writeheader()
        writer.writerow(row)


if __name__ == "__main__":
    main()
