"""Which recipe is soonest good on the characters of tiny Shakespeare, chosen on a split of its own.

    python experiments/recipe_search/shakespeare.py --text <input.txt> "<steps> <recipe>" …

A recipe is "key=value …" of recipe.py; those that all have are in `COMMON`. Resumable: a row goes
into shakespeare.csv beside this file as each trial ends. The last tenth of the text, on which
time_to_quality compares, is cut off first: trials are judged on the tenth before it. `--costs`
instead measures the CPU time of a step of each recipe over one of the base's, in turns.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch
from recipe import Recipe
from study import Trials, append
from training import cost_ratio, train

from infinito.process import keep_freed_memory

HERE = Path(__file__).parent
RESULTS, COSTS = HERE / "shakespeare.csv", HERE / "shakespeare_costs.csv"
COMMON = "optimizer=muon block=64 batch=12"
UNREAD = 0.1
"""Share of the text, at its end, that no trial reads."""


def main() -> None:
    """Run the trials that have no row yet."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--costs", action="store_true")
    parser.add_argument(
        "trials", nargs="+", help="'<steps> <recipe>'; the steps of costs are unread"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "input.txt"
        whole = arguments.text.read_text(encoding="utf-8")
        text.write_text(whole[: int(len(whole) * (1 - UNREAD))], encoding="utf-8")
        for words in arguments.trials:
            steps, _, recipe = words.partition(" ")
            if arguments.costs:
                measure_cost(recipe.strip(), text)
            else:
                run(recipe.strip(), int(steps), arguments.seed, text)


def run(recipe: str, steps: int, seed: int, text: Path) -> None:
    """Train a recipe, unless it has a row."""
    key = {"recipe": recipe, "steps": steps, "seed": seed}
    if Trials.find(RESULTS, key) is None:
        result = train(Recipe.parse(f"{COMMON} {recipe}"), steps, seed, text)
        append(RESULTS, {**key, **result})
        print(key, result["bits_per_byte"], result["cpu_s"], flush=True)


def measure_cost(recipe: str, text: Path) -> None:
    """Compare a step of a recipe with one of the common recipe, unless it has a row."""
    if Trials.find(COSTS, {"recipe": recipe}) is None:
        ratio = cost_ratio(
            Recipe.parse(f"{COMMON} {recipe}"), Recipe.parse(COMMON), text, rounds=40
        )
        append(COSTS, {"recipe": recipe, "cost_ratio": round(ratio, 3)})
        print(recipe, round(ratio, 3), flush=True)


if __name__ == "__main__":
    main()
