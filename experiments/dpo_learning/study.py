"""What does preference tuning learn: a colour word among others, and people's real preferences?

    python experiments/dpo_learning/study.py --data <folder of hh-rlhf and stories260k>

One command a setting and seed; finished ones are in results.json and are not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from colours import write
from matplotlib.figure import Figure

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
SEEDS = (0, 1, 2)

COMMON = (
    "+experiment=dpo",
    "trainer.threads=1",
    "trainer.accelerator=cpu",
    "trainer.progress_bar=false",
    "dpo.answers=0",
    "data.chat=false",
)
REAL = (
    "data.block_size=256",
    "data.truncate=prompt_start",
    "data.on_bad_row=drop",
    "data.batch_size=8",
    "optimizer.lr=2e-4",
    "trainer.epochs=1",
    "trainer.validate_every=60",
)


def settings(data: Path, work: Path) -> dict[str, tuple[str, ...]]:
    """Return the overrides of each setting."""
    training, held_out = write(work / "colours")
    real = f"data.path={data / 'hh-rlhf/helpful-base/test.jsonl.gz'}"
    return {
        "colours": (
            f"data.path={training}",
            f"data.held_out_path={held_out}",
            "model=distance_lm",
            "model.layers=3",
            "tokenizer=char",
            "data.batch_size=16",
            "data.block_size=64",
            "trainer.epochs=15",
            "dpo.warmup_steps=150",
        ),
        "helpful, stories260k": (
            real,
            *REAL,
            "model=pretrained",
            f"model.path={data / 'stories260k/hf'}",
            "model.trainable=all",
        ),
        "helpful, from scratch": (
            real,
            *REAL,
            "model=distance_lm",
            "model.layers=3",
            "tokenizer.vocab_size=1024",
            "dpo.warmup_steps=600",
        ),
    }


def run(overrides: tuple[str, ...], seed: int, work: Path) -> dict[str, Any]:
    """Run one training and return its report."""
    folder = Path(tempfile.mkdtemp(dir=work)) / "run"
    command = [sys.executable, "-m", "infinito.run", *COMMON, *overrides, f"seed={seed}"]
    command += [f"hydra.run.dir={folder}", f"data.cache_dir={work / 'cache'}"]
    finished = subprocess.run(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )
    if finished.returncode:
        raise SystemExit(finished.stderr)
    report = json.loads((folder / "training_report.json").read_text(encoding="utf-8"))
    kept = ("status", "reason", "samples", "held_out_samples", "steps", "data", "held_out")
    curve = [
        {name: each[name] for name in ("step", "val/rewards/accuracies", "val/rewards/margins")}
        for each in report["history"]
        if "val/loss" in each
    ]
    seconds = report["timing"]["duration_seconds"]
    return {**{name: report[name] for name in kept}, "curve": curve, "duration_seconds": seconds}


def table(results: dict[str, dict[str, Any]]) -> str:
    """Return the accuracies with their intervals, a line a run."""
    lines = [
        "| setting | seed | pairs | raw before | raw after | accuracy (95 %) | margin (95 %) "
        "| longer wins | shorter wins | r(margin, length) | status |",
        "| --- " * 11 + "|",
    ]
    for name, each in results.items():
        setting, _, seed = name.rpartition("/")
        held = each["held_out"]
        after, accuracy, margin = held["after"], held["after"]["accuracy"], held["after"]["margin"]
        r = held["reward_length_correlation"]
        cells = [
            setting,
            seed,
            f"{each['samples']} + {each['held_out_samples']}",
            f"{held['before']['raw_accuracy']['share']:.3f}",
            f"{after['raw_accuracy']['share']:.3f}",
            f"{accuracy['share']:.3f} ({accuracy['low']:.3f}–{accuracy['high']:.3f})",
            f"{margin['mean']:+.3f} ({margin['low']:+.3f} to {margin['high']:+.3f})",
            f"{held['baselines']['longer_wins']['share']:.3f}",
            f"{held['baselines']['shorter_wins']['share']:.3f}",
            "–" if r is None else f"{r:+.2f}",
            each["status"],
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot(results: dict[str, dict[str, Any]]) -> Figure:
    """Draw held-out accuracy over training, a panel a setting, a line a seed."""
    names = list(dict.fromkeys(name.rpartition("/")[0] for name in results))
    figure = Figure(figsize=(4 * len(names), 3.2), layout="constrained")
    for axis, setting in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        runs = [each for name, each in results.items() if name.rpartition("/")[0] == setting]
        for each in runs:
            points = each["curve"]
            axis.plot(
                [point["step"] for point in points],
                [point["val/rewards/accuracies"] for point in points],
                marker="o",
                ms=3,
            )
        best = np.mean([max(b["share"] for b in r["held_out"]["baselines"].values()) for r in runs])
        axis.axhline(max(0.5, best), color="grey", ls="--", lw=1, label="best of chance and length")
        axis.set_title(setting, fontsize=9)
        axis.set_xlabel("step")
        axis.set_ylim(0, 1.02)
        axis.legend(fontsize=7)
    figure.supylabel("held-out reward accuracy", fontsize=9)
    return figure


def main() -> None:
    """Run what is missing, then write table and plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "dpo_learning")
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    for name, overrides in settings(asked.data.resolve(), asked.work.resolve()).items():
        for seed in SEEDS:
            if f"{name}/{seed}" in results:
                continue
            results[f"{name}/{seed}"] = run(overrides, seed, asked.work)
            RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
            print(name, seed, results[f"{name}/{seed}"]["reason"], flush=True)
    print(table(results))
    plot(results).savefig(HERE / "accuracy.png", dpi=110)


if __name__ == "__main__":
    main()
