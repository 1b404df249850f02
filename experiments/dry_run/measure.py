"""Compares what a dry run predicts with what the run takes, recipe by recipe.

Each is a process of its own with one thread, whose clock counts CPU seconds, so that other programs
change nothing. Goes on where it was stopped; writes results.csv and table.md beside this file.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results.csv"
FIELDS = ["recipe", "predicted_mib", "peak_mib", "predicted_s", "training_s"]
TUNING = [
    "+experiment=dpo_qwen_05b",
    "data.chat=false",
    "data.batch_size=4",
    "trainer.accumulate=1",
    "optimizer.clip_norm=null",
    "dpo.answers=0",
]
RECIPES = {
    "base_30ep, 150 steps": ["+experiment=base_30ep", "trainer.max_steps=150"],
    "GPT-2 with LoRA, 6 steps": [
        "+experiment=base_gpt2_lora",
        "model.path={models}/gpt2",
        "trainer.epochs=null",
        "trainer.max_steps=6",
        "trainer.validate_every=6",
        "trainer.sample_tokens=0",
    ],
    "dpo, 0.5 B in backward": [
        *TUNING,
        "model.path={models}/qwen2-0.5b",
        "optimizer.in_backward=true",
    ],
    "dpo, 0.5 B with LoRA": [*TUNING, "model.path={models}/qwen2-0.5b", "model.trainable=lora"],
}
PROGRAM = """
import json, resource, sys, time
time.perf_counter = time.process_time
from lightning import Trainer
from infinito.run import main
from infinito.training import trainer
from infinito.training.callbacks import milestones
spent = {}
def clock(owner, name):
    inner, spent[name] = getattr(owner, name), 0.0
    def timed(*arguments, **named):
        started = time.process_time()
        try:
            return inner(*arguments, **named)
        finally:
            spent[name] += time.process_time() - started
    setattr(owner, name, timed)
clock(Trainer, "fit")
clock(milestones, "validate_now")
clock(trainer, "write_checkpoint")
try:
    code = main()
finally:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print("RESULT", json.dumps({"peak_mib": peak, **spent}), flush=True)
sys.exit(code)
"""
"""Runs a command and tells its peak, and the CPU seconds of training, validations and saves."""


def run(recipe: str, models: Path, work: Path, *overrides: str) -> tuple[str, dict[str, Any]]:
    """Return what a command printed and what was measured."""
    shutil.rmtree(work, ignore_errors=True)
    command = [each.format(models=models) for each in RECIPES[recipe]]
    places = [f"runs_dir={work / 'runs'}", f"data.cache_dir={work.parent / 'cache'}"]
    settings = ["trainer.threads=1", "trainer.progress_bar=false"]
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM, *command, *settings, *places, *overrides],
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )
    found = re.search(r"^RESULT (.*)$", finished.stdout, re.MULTILINE)
    if finished.returncode or not found:
        raise RuntimeError(finished.stdout[-1000:] + finished.stderr[-2000:])
    shutil.rmtree(work, ignore_errors=True)
    return finished.stdout, json.loads(found[1])


def read(printed: str, name: str) -> float:
    """Return the number after a name in a table."""
    found = re.search(rf"^\s*{name}\s+(?:at most )?([\d,.]+)", printed, re.MULTILINE)
    assert found, name
    return float(found[1].replace(",", ""))


def measure(recipe: str, models: Path, work: Path) -> dict[str, Any]:
    """Return a row of results."""
    printed, _ = run(recipe, models, work, "dry_run=true")
    if "estimated training" in printed:
        minutes = read(printed, "estimated training") + read(printed, "estimated validation")
        unpredicted = ["write_checkpoint"]
    else:
        minutes = read(printed, "training")  # scoring has a line of its own
        unpredicted = ["write_checkpoint", "validate_now"]
    predicted_mib = read(printed, "peak memory")
    _, found = run(recipe, models, work)
    return {
        "recipe": recipe,
        "predicted_mib": round(predicted_mib),
        "peak_mib": round(found["peak_mib"]),
        "predicted_s": round(60 * minutes, 1),
        "training_s": round(found["fit"] - sum(found[name] for name in unpredicted), 1),
    }


def rows() -> list[dict[str, str]]:
    """Return what was measured so far."""
    if not RESULTS.exists():
        return []
    with RESULTS.open() as file:
        return list(csv.DictReader(file))


def report() -> None:
    """Write table.md."""
    lines = [
        "| recipe | peak predicted, MiB | measured | off | time predicted, CPU s | measured | off |"
    ]
    lines.append("|" + "---|" * 7)
    for row in rows():
        memory = float(row["predicted_mib"]) / float(row["peak_mib"]) - 1
        time = float(row["predicted_s"]) / float(row["training_s"]) - 1
        lines.append(
            f"| {row['recipe']} | {int(row['predicted_mib']):,} | {int(row['peak_mib']):,} "
            f"| {memory:+.0%} | {row['predicted_s']} | {row['training_s']} | {time:+.0%} |"
        )
    (HERE / "table.md").write_text("\n".join(lines) + "\n")


def main() -> None:
    """Measure what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, required=True, help="folder of real_size/models.py")
    parser.add_argument("--work", type=Path, default=Path("/tmp/infinito_dry_run/work"))
    parser.add_argument("--only", choices=RECIPES, nargs="*", default=list(RECIPES))
    arguments = parser.parse_args()
    for recipe in arguments.only:
        if all(row["recipe"] != recipe for row in rows()):
            row = measure(recipe, arguments.models, arguments.work)
            new = not RESULTS.exists()
            with RESULTS.open("a", newline="") as file:
                writer = csv.DictWriter(file, FIELDS)
                if new:
                    writer.writeheader()
                writer.writerow(row)
            print(row, flush=True)
            report()


if __name__ == "__main__":
    main()
