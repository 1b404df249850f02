"""Validation loss against CPU seconds, for infinito and for rivals from their own public code.

    python experiments/time_to_quality/study.py --text <input.txt> --nanogpt <its folder>
    python experiments/time_to_quality/study.py --nanochat <its folder>

The first compares on the characters of tiny Shakespeare, the second on Python's documentation.
Resumable: points.csv beside this file gets the rows of a training as it ends, and a training that
has rows is not run again. Prints the table of README.md.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple
from functools import partial
from pathlib import Path

from contestants import Point, run_infinito, run_nanochat, run_nanogpt, run_transformers

POINTS = Path(__file__).parent / "points.csv"
FIELDS = ("text", "contestant", "seed", "step", "cpu_s", "loss")
RATES = (0.25, 0.5, 1.0, 2.0)
"""Factors of all learning rates that are tried, at `TUNING_STEPS` and seed 0, for both sides."""
TUNING_STEPS = 300
STEPS = 1500
VALIDATIONS = 15
"""In a training on Python's documentation; one on Shakespeare has 8, as nanoGPT's own."""

RECIPE = (
    "optimizer=muon",
    "optimizer.lr=1e-2",
    "optimizer.schedule=linear",
    "optimizer.warmup_steps=10",
    "model.zero_init_residual=true",
    "model.value_embeddings=true",
    "model.bigram_embeddings=8192",
)
"""Chosen by recipe_search/shakespeare.py, on a split of its own."""
MEDIUM = "trainer.matmul_precision=medium"
"""Products in bfloat16, which the processor of the study has units for; nanoGPT's are float32."""
TRAINER = "transformers' GPT-2 and Trainer"
EMBEDDINGS = (
    "model.zero_init_residual=true",
    "model.value_embeddings=true",
    "model.bigram_embeddings=16384",
)
"""They cost no matrix product, and pay while a text is new (recipe_search)."""
SHORTER: dict[str, tuple[str, tuple[str, ...], int]] = {
    "nanochat, 750 steps": ("nanochat", (), 750),
    "infinito, 600 steps": ("infinito", (), 600),
    "infinito, 450 steps": ("infinito", (), 450),
    "infinito, bigram and value embeddings, 450 steps": ("infinito", EMBEDDINGS, 450),
}
"""Name → side, overrides and steps of trainings whose rate falls sooner: nanochat is best after
half of its own."""
SHAKESPEARE = {
    "infinito, recipe, 168 steps": (RECIPE, 168),
    "infinito, recipe, 240 steps": (RECIPE, 240),
    "infinito, recipe, bfloat16 products, 240 steps": ((*RECIPE, MEDIUM), 240),
    "infinito, recipe, 1,600 steps": (RECIPE, 1600),
    "infinito, AdamW, 2,000 steps": ((), 2000),
}
"""Name → overrides of the experiment shakespeare_char, and steps."""


def main() -> None:
    """Run what is missing, a seed of every training after the other, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--text", type=Path, help="tiny Shakespeare's input.txt")
    parser.add_argument("--nanogpt", type=Path, help="folder of its public code")
    parser.add_argument("--nanochat", type=Path, help="folder of its public code")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=SHAKESPEARE, default=list(SHAKESPEARE))
    arguments = parser.parse_args()
    if arguments.nanogpt is not None:
        if arguments.text is None:
            parser.error("--nanogpt is compared on --text")
        places = arguments.text.resolve(), arguments.nanogpt.resolve()
        compare_shakespeare(*places, arguments.seeds, arguments.only)
    if arguments.nanochat is not None:
        compare_python_docs(arguments.nanochat.resolve(), arguments.seeds)


def compare_shakespeare(text: Path, nanogpt: Path, seeds: int, names: Sequence[str]) -> None:
    """Compare with nanoGPT's CPU recipe, whose seed is fixed, and with transformers' Trainer."""
    record("shakespeare", "nanoGPT", 0, lambda: run_nanogpt(nanogpt, text))
    record("shakespeare", TRAINER, 0, lambda: run_transformers(text, 2000, 0))
    for seed in range(seeds):
        for name in names:
            overrides, steps = SHAKESPEARE[name]
            command = ["+experiment=shakespeare_char", f"data.path={text}", *overrides]
            run = partial(train, command, steps, seed, 12 * 64, "val/loss", steps // 8)
            record("shakespeare", name, seed, run)
    print(table("shakespeare", "nanoGPT", (TRAINER, *SHAKESPEARE), "nats/char"))


def compare_python_docs(nanochat: Path, seeds: int) -> None:
    """Compare with nanochat's model and optimizer; both sides choose among as many rates."""

    def ours(steps: int, seed: int, rate: float, overrides: Sequence[str] = ()) -> list[Point]:
        rates = [f"optimizer.lr={3e-3 * rate}", f"optimizer.matrix_lr={0.02 * rate}"]
        command = ["+experiment=base_30ep", "trainer.sample_tokens=0", *rates, *overrides]
        every = steps // VALIDATIONS
        return train(command, steps, seed, 16 * 128, "val/bits_per_byte", every)

    sides: dict[str, Callable[..., list[Point]]] = {
        "nanochat": partial(run_nanochat, nanochat),
        "infinito": ours,
    }
    for rate in RATES:
        for name, run in sides.items():
            record(
                "python_docs, tuning",
                f"{name} × {rate:g}",
                0,
                partial(run, steps=TUNING_STEPS, seed=0, rate=rate),
            )
    for seed in range(seeds):
        for name, run in sides.items():
            best = min(RATES, key=lambda rate: tuned_loss(f"{name} × {rate:g}"))
            record(
                "python_docs",
                name,
                seed,
                partial(run, steps=STEPS, seed=seed, rate=best),
            )
        for name, (side, overrides, steps) in SHORTER.items():
            best = min(RATES, key=lambda rate: tuned_loss(f"{side} × {rate:g}"))
            more = {"overrides": overrides} if overrides else {}
            run = partial(sides[side], steps=steps, seed=seed, rate=best, **more)
            record("python_docs", name, seed, run)
    print(table("python_docs", "nanochat", (*sides, *SHORTER), "bits/byte"))


def tuned_loss(name: str) -> float:
    """Return the last loss of a training that tried a rate."""
    return points("python_docs, tuning", name, 0)[-1].loss


def train(
    command: Sequence[str], steps: int, seed: int, tokens_per_step: int, unit: str, every: int
) -> list[Point]:
    """Run one of our trainings, which validates each `every` steps."""
    length = [f"seed={seed}", f"trainer.max_steps={steps}", f"trainer.validate_every={every}"]
    logged = next(size for size in (5, 4, 3, 2, 1) if every % size == 0)
    return run_infinito([*command, *length], tokens_per_step, logged, unit)


def record(text: str, name: str, seed: int, run: Callable[[], list[Point]]) -> None:
    """Append the points of a training, unless they are there."""
    if points(text, name, seed):
        return
    found = run()
    is_new = not POINTS.exists()
    with POINTS.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if is_new:
            writer.writerow(FIELDS)
        writer.writerows((text, name, seed, *astuple(each)) for each in found)


def points(text: str, name: str, seed: int) -> list[Point]:
    """Return the points of a finished training."""
    if not POINTS.exists():
        return []
    with POINTS.open(newline="", encoding="utf-8") as file:
        return [
            Point(int(row["step"]), float(row["cpu_s"]), float(row["loss"]))
            for row in csv.DictReader(file)
            if (row["text"], row["contestant"], row["seed"]) == (text, name, str(seed))
        ]


def table(text: str, rival: str, names: Iterable[str], unit: str) -> str:
    """Return each training's end, and when it first was as good as the rival's best."""
    lines = [
        f"| training | seed | steps | CPU s | loss, {unit} | CPU s to {rival}'s best loss, share |",
        "|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys((rival, *names)):
        seed = 0
        while found := points(text, name, seed):
            end, share = found[-1], "–"
            others = points(text, rival, seed) or points(text, rival, 0)
            if others:
                best = min(others, key=lambda each: each.loss)
                reached = [each for each in found if each.loss <= best.loss]
                share = f"{reached[0].cpu_s / best.cpu_s:.2f}" if reached else "not reached"
            lines.append(
                f"| {name} | {seed} | {end.step} | {end.cpu_s:.1f} | {end.loss:.3f} | {share} |"
            )
            seed += 1
    return "\n".join(lines)


if __name__ == "__main__":
    main()
