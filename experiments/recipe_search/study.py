"""Which parts of a recipe pay on a CPU: loss at equal steps, cost of a step, and both as time.

    python experiments/recipe_search/study.py                       # Python's documentation
    python experiments/recipe_search/study.py --text <input.txt>    # characters of a text

Resumable: a row is appended to a CSV beside this file as each trial ends, and no trial that has a
row is run again. Only the validation split is read. `--only` runs the options named.
"""

from __future__ import annotations

import argparse
import csv
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from recipe import Recipe
from training import cost_ratio, train

from infinito.process import keep_freed_memory

HERE = Path(__file__).parent
ADAMW = ""
MUON = "optimizer=muon schedule=wsd"
OPTIONS = {
    "adamw": (ADAMW, ""),
    "muon": (ADAMW, MUON),
    "muon, linear decay": (MUON, "schedule=linear"),
    "muon, lr 0.01": (MUON, "lr=0.01"),
    "muon, matrix_lr 0.01": (MUON, "matrix_lr=0.01"),
    "muon, matrix_lr 0.04": (MUON, "matrix_lr=0.04"),
    "squared ReLU": (MUON, "activation=relu2"),
    "SwiGLU": (MUON, "activation=swiglu"),
    "zero-initialised residual": (MUON, "zero_init=true"),
    "query/key norm": (MUON, "qk_norm=true"),
    "RMS norm": (MUON, "norm=rms"),
    "untied head": (MUON, "tied=false"),
    "soft cap 15": (MUON, "soft_cap=15"),
    "value residual": (MUON, "value_residual=true"),
    "λ learned by head": (MUON, "learned_scale=true"),
    "batch of 8": (MUON, "batch=8"),
    "value embeddings": (MUON, "value_embeddings=true"),
    "8,192 bigram embeddings": (MUON, "bigrams=8192"),
    "token shift": (MUON, "token_shift=true"),
    "embedding residual": (MUON, "embedding_residual=true"),
    "zero-initialised residual, value and bigram embeddings": (
        MUON,
        "zero_init=true value_embeddings=true bigrams=8192",
    ),
    "bfloat16": (MUON, "precision=bfloat16"),
}
"""Name → the recipe it is compared with, and what it changes."""


def main() -> None:
    """Run what is missing, a seed of every option after the other, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--text", type=Path)
    parser.add_argument("--metrics", nargs="*", default=["dot", "l1"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--only", nargs="*", choices=OPTIONS)
    parser.add_argument("--common", default="", help="what all recipes have, e.g. 'block=64'")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    trials = Trials("text" if arguments.text else "python_docs", arguments.text)
    names = arguments.only or list(OPTIONS)
    for seed in range(arguments.seeds):
        for metric in arguments.metrics:
            common = f"metric={metric} {arguments.common}".strip()
            for name in names:
                base, change = OPTIONS[name]
                recipes = [
                    " ".join(f"{common} {each}".split()) for each in (base, f"{base} {change}")
                ]
                trials.compare(recipes, arguments.steps, seed)
    report(trials, names, arguments.metrics, arguments.common, arguments.steps)


def pair_recipes(name: str, common: str) -> list[str]:
    """Return the recipe that an option is compared with, and that of the option."""
    base, change = OPTIONS[name]
    return [" ".join(f"{common} {each}".split()) for each in (base, f"{base} {change}")]


class Trials:
    """The finished trials and costs of a text, in two CSV files."""

    def __init__(self, name: str, text: Path | None) -> None:
        self.text = text
        self.trials_file = HERE / f"{name}_trials.csv"
        self.costs_file = HERE / f"{name}_costs.csv"

    def compare(self, recipes: Sequence[str], steps: int, seed: int) -> None:
        """Run a base and its change, and the base for twice as long: the worth of time."""
        base, change = recipes
        for words, count in ((base, steps), (base, 2 * steps), (change, steps)):
            key = {"recipe": words, "steps": count, "seed": seed}
            if self.find(self.trials_file, key) is None:
                result = train(Recipe.parse(words), count, seed, self.text)
                append(self.trials_file, {**key, **result})
        key = {"recipe": change, "base": base}
        if base != change and self.find(self.costs_file, key) is None:
            ratio = cost_ratio(Recipe.parse(change), Recipe.parse(base), self.text)
            append(self.costs_file, {**key, "cost_ratio": round(ratio, 4)})

    def loss(self, words: str, steps: int, seed: int) -> float | None:
        """Return the bits per byte of a finished trial."""
        row = self.find(self.trials_file, {"recipe": words, "steps": steps, "seed": seed})
        return None if row is None else float(row["bits_per_byte"])

    def cost(self, change: str, base: str) -> float:
        """Return the cost of a step over one of the base."""
        row = self.find(self.costs_file, {"recipe": change, "base": base})
        return 1.0 if row is None else float(row["cost_ratio"])

    @staticmethod
    def find(path: Path, key: Mapping[str, object]) -> dict[str, str] | None:
        """Return the row of a file with these values."""
        if not path.exists():
            return None
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            same = (row for row in rows if all(row[name] == str(key[name]) for name in key))
            return next(same, None)


def append(path: Path, row: Mapping[str, object]) -> None:
    """Add a row to a CSV file, with its header where it is new."""
    is_new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row))
        if is_new:
            writer.writeheader()
        writer.writerow(row)


def report(
    trials: Trials, names: Sequence[str], metrics: Sequence[str], common: str, steps: int
) -> None:
    """Print a table: time to the base's loss over the base's own, by seed, and its parts."""
    print("| option | metric | bits/byte − base | cost of a step | time to the same loss | seeds |")
    print("|---|---|---|---|---|---|")
    for name in names:
        for metric in metrics:
            words = pair_recipes(name, f"metric={metric} {common}")
            if words[0] != words[1] and (row := compared(trials, words, steps)):
                print(f"| {name} | {metric} | {row} |")


def compared(trials: Trials, words: Sequence[str], steps: int) -> str | None:
    """Return the figures of a change, over the seeds that are finished.

    If twice the steps lower the base's loss by s, a change that lowers it by d needs 2^(−d / s) of
    the steps.
    """
    base, change = words
    differences, worths = [], []
    seed = 0
    while True:
        found = [
            trials.loss(base, steps, seed),
            trials.loss(base, 2 * steps, seed),
            trials.loss(change, steps, seed),
        ]
        if any(each is None for each in found):
            break
        start, longer, changed = (float(each or 0.0) for each in found)
        differences.append(changed - start)
        worths.append(math.exp2((changed - start) / (start - longer)))
        seed += 1
    if not seed:
        return None
    cost = trials.cost(change, base)
    times = [cost * worth for worth in worths]
    shown = ", ".join(f"{each:.3f}" for each in times)
    mean = statistics.fmean(differences)
    return f"{mean:+.4f} | {cost:.3f} | {statistics.fmean(times):.3f} | {shown}"


if __name__ == "__main__":
    main()
