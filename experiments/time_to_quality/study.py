"""Validation loss against CPU seconds on tiny Shakespeare, for nanoGPT's CPU recipe and ours.

    python experiments/time_to_quality/study.py --text <input.txt> --nanogpt <nanoGPT's folder>

Resumable: points.csv beside this file gets the rows of a training as it ends, and a training that
has rows is not run again. Prints the table of README.md.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path

from contestants import Point, run_infinito, run_nanogpt

POINTS = Path(__file__).parent / "points.csv"
FIELDS = ("contestant", "seed", "step", "cpu_s", "loss")
RIVAL = "nanoGPT"
MUON = ("optimizer=muon", "optimizer.lr=1e-2", "optimizer.warmup_steps=10")
OURS = {
    "infinito, AdamW": ((), 2000),
    "infinito, Muon": (MUON, 2000),
    "infinito, Muon, short": (MUON, 240),
}
"""Name → overrides of the experiment shakespeare_char, and steps."""
TOKENS_PER_STEP = 12 * 64


def main() -> None:
    """Run what is missing, a seed of every training after the other, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--text", required=True, type=Path)
    parser.add_argument("--nanogpt", required=True, type=Path, help="folder of its public code")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=[RIVAL, *OURS], default=[RIVAL, *OURS])
    arguments = parser.parse_args()
    text = arguments.text.resolve()
    for seed in range(arguments.seeds):
        if seed == 0 and RIVAL in arguments.only:  # its seed is fixed
            record(RIVAL, seed, lambda: run_nanogpt(arguments.nanogpt.resolve(), text))
        for name in [name for name in OURS if name in arguments.only]:
            record(name, seed, lambda name=name, seed=seed: train(name, seed, text))
    print(table())


def train(name: str, seed: int, text: Path) -> list[Point]:
    """Run one of our trainings, validated eight times."""
    overrides, steps = OURS[name]
    length = [f"trainer.max_steps={steps}", f"trainer.validate_every={steps // 8}"]
    fixed = [f"data.path={text}", f"seed={seed}", *length]
    return run_infinito([*overrides, *fixed], TOKENS_PER_STEP, every=5)


def record(name: str, seed: int, run: Callable[[], list[Point]]) -> None:
    """Append the points of a training, unless they are there."""
    if points(name, seed):
        return
    found = run()
    is_new = not POINTS.exists()
    with POINTS.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if is_new:
            writer.writerow(FIELDS)
        writer.writerows((name, seed, *astuple(each)) for each in found)


def points(name: str, seed: int) -> list[Point]:
    """The points of a finished training."""
    if not POINTS.exists():
        return []
    with POINTS.open(newline="", encoding="utf-8") as file:
        return [
            Point(int(row["step"]), float(row["cpu_s"]), float(row["loss"]))
            for row in csv.DictReader(file)
            if row["contestant"] == name and row["seed"] == str(seed)
        ]


def table() -> str:
    """Return each training's end, and when it first was as good as the rival's end."""
    lines = [
        "| training | seed | steps | CPU s | loss, nats/char | CPU s to nanoGPT's loss, share |",
        "|---|---|---|---|---|---|",
    ]
    rival = points(RIVAL, 0)
    for name in (RIVAL, *OURS):
        seed = 0
        while found := points(name, seed):
            end, share = found[-1], "–"
            if rival and (reached := [each for each in found if each.loss <= rival[-1].loss]):
                share = f"{reached[0].cpu_s / rival[-1].cpu_s:.2f}"
            lines.append(
                f"| {name} | {seed} | {end.step} | {end.cpu_s:.1f} | {end.loss:.3f} | {share} |"
            )
            seed += 1
    return "\n".join(lines)


if __name__ == "__main__":
    main()
