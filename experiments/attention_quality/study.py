"""Validation loss of every attention with λ fixed and learned, on two texts, over paired seeds.

    python experiments/attention_quality/study.py --data <folder of the texts> [--texts WikiText-2]

The folder holds tinyshakespeare/input.txt and wikitext-2/{train,valid}.txt. Resumable: a training
that stands in results.csv is not run again. Writes results.csv beside this file; report.py makes
the tables and the plot of it.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from torch.nn.functional import softplus

RESULTS = Path(__file__).parent / "results.csv"
ATTENTIONS = ("dot", "l1", "l2", "sq_l2", "cosine")
SCALES = ("fixed", "learned")
TEXTS = ("tiny Shakespeare", "WikiText-2")
FIELDS = ("text", "seed", "attention", "scale", "loss", "bits_per_byte", "mean_scale", "parameters")
STEPS = 500

COMMON = (
    "task=train", "model.dim=128", "model.layers=4", "attention.heads=4", "data.block_size=128",
    "data.batch_size=16", "data.eval_batch_size=64", "optimizer.lr=1.0e-3",
    "optimizer.betas=[0.9,0.99]", "optimizer.warmup_steps=50", "trainer.epochs=null",
    f"trainer.max_steps={STEPS}", f"trainer.validate_every={STEPS}", "trainer.threads=1",
    "trainer.sample_tokens=0", "trainer.progress_bar=false",
)  # fmt: skip


def main() -> None:
    """Run what is missing: a seed of every attention on both texts, then the next seed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--texts", nargs="+", choices=TEXTS, default=TEXTS)
    arguments = parser.parse_args()
    overrides = build_overrides(arguments.data)
    for seed, text, scale, attention in itertools.product(
        range(arguments.seeds), arguments.texts, SCALES, ATTENTIONS
    ):
        known = {(r["text"], int(r["seed"]), r["scale"], r["attention"]) for r in results()}
        if (text, seed, scale, attention) not in known:
            chosen = [f"attention={attention}", f"seed={seed}"]
            if scale == "learned":
                chosen += ["attention.learned_scale=true", "attention.scale_per=head"]
            row: dict[str, float | str] = {
                "text": text,
                "seed": seed,
                "attention": attention,
                "scale": scale,
            }
            append({**row, **train([*COMMON, *overrides[text], *chosen])})


def build_overrides(data: Path) -> dict[str, list[str]]:
    """Return what chooses each text and its tokens."""
    cache = f"data.cache_dir={Path(tempfile.gettempdir()) / 'attention_quality'}"
    return {
        TEXTS[0]: [
            "data=text", f"data.path={data / 'tinyshakespeare' / 'input.txt'}", "tokenizer=char",
            "tokenizer.unknown=false", "data.valid_fraction=0.1", "data.test_fraction=0.0", cache,
        ],
        TEXTS[1]: [
            "data=wikitext2", f"data.path={data / 'wikitext-2'}", "tokenizer=bpe", cache,
        ],
    }  # fmt: skip


def results() -> list[dict[str, str]]:
    """Return the finished trainings."""
    if not RESULTS.exists():
        return []
    with RESULTS.open(newline="") as file:
        return list(csv.DictReader(file))


def train(overrides: list[str]) -> dict[str, float | str]:
    """Return what one training in a process of its own came to."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "infinito.run", *overrides, f"hydra.run.dir={folder}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        summary = json.loads((Path(folder) / "summary.json").read_text())
        checkpoint = Path(folder) / "checkpoints" / "best.ckpt"
        weights = torch.load(checkpoint, weights_only=True)["state_dict"]
    raw = [tensor for name, tensor in weights.items() if name.endswith("scale.raw")]
    return {
        "loss": round(summary["val/loss"], 5),
        "bits_per_byte": round(summary["val/bits_per_byte"], 5),
        "mean_scale": round(softplus(torch.cat(raw)).mean().item(), 4) if raw else "",
        "parameters": summary["parameters"],
    }


def append(row: dict[str, float | str]) -> None:
    """Add a row to results.csv."""
    new = not RESULTS.exists()
    with RESULTS.open("a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        if new:
            writer.writeheader()
        writer.writerow(row)
    print(row, flush=True)


if __name__ == "__main__":
    main()
