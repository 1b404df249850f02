"""Trains every point of the spaces once and records its learning curve.

    python experiments/fidelity/record.py <tiny Shakespeare's input.txt> [space …]

Resumable: curves.csv has a row for each training, written when it ends. One thread.
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from spaces import POINTS, SPACES, STEPS, TABLE, Space, read_table
from torch import Tensor

from infinito.config import AdamWConf, MuonConf
from infinito.models.distance_lm.config import DistanceLMConfig
from infinito.models.distance_lm.model import DistanceLMForCausalLM
from infinito.training.optimizer.assembly import build_optimizer
from infinito.training.optimizer.clipping import clip_gradients
from infinito.training.optimizer.rate_schedule import rate_factor

BLOCK = 32
HELD_OUT, WINDOWS = 100_000, 64
"""Characters at the end that are not trained on, and windows of them that are validated."""

DEFAULTS: dict[str, Any] = {
    "optimizer": "adamw",
    "lr": 3e-3,
    "matrix_lr": 0.02,
    "weight_decay": 0.1,
    "batch_size": 8,
    "schedule": "constant",
    "warmup_steps": 0,
    "clip_norm": 1.0,
    "metric": "dot",
    "scale": 1.0,
    "heads": 2,
    "dim": 32,
    "dropout": 0.0,
    "train_characters": None,
}


def train(settings: dict[str, Any], text: Tensor, vocab: int) -> list[float]:
    """Return the validation losses of a training, in nats a character.

    Args:
        settings: As `DEFAULTS` has them.
        text: (characters,).
        vocab: Kinds of characters.
    """
    torch.manual_seed(0)
    model = DistanceLMForCausalLM(
        DistanceLMConfig(
            vocab_size=vocab,
            hidden_size=settings["dim"],
            num_hidden_layers=2,
            num_attention_heads=settings["heads"],
            metric=settings["metric"],
            scale=settings["scale"],
            dropout=settings["dropout"],
        )
    )
    same = {
        "lr": settings["lr"],
        "weight_decay": settings["weight_decay"],
        "clip_norm": settings["clip_norm"],
    }
    is_muon = settings["optimizer"] == "muon"
    conf = MuonConf(**same, matrix_lr=settings["matrix_lr"]) if is_muon else AdamWConf(**same)
    optimizer = build_optimizer(model, conf)
    factor = rate_factor(settings["schedule"], settings["warmup_steps"], STEPS, 0.1, 0.4)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    held_out = cut(text[-HELD_OUT:], np.random.default_rng(1), WINDOWS)
    rng = np.random.default_rng(0)
    trained = text[:-HELD_OUT][: settings["train_characters"]]
    parameters = list(model.parameters())
    losses = []
    for step in range(1, STEPS + 1):
        batch = cut(trained, rng, settings["batch_size"])
        optimizer.zero_grad()
        model(input_ids=batch, labels=batch, use_cache=False).loss.backward()
        clip_gradients(parameters, settings["clip_norm"])
        optimizer.step()
        schedule.step()
        if step % (STEPS // POINTS) == 0:
            losses.append(validate(model, held_out))
    return losses


def cut(text: Tensor, rng: np.random.Generator, count: int) -> Tensor:
    """(count, characters): windows at random places."""
    starts = torch.from_numpy(rng.integers(len(text) - BLOCK, size=count))
    return text[starts[:, None] + torch.arange(BLOCK + 1)]


@torch.no_grad()
def validate(model: DistanceLMForCausalLM, held_out: Tensor) -> float:
    """Return the mean loss of the windows."""
    model.eval()
    loss = float(model(input_ids=held_out, labels=held_out, use_cache=False).loss)
    model.train()
    return loss


def append(space: Space, at: int, cpu_s: float, losses: list[float]) -> None:
    """Add a row, below the heading where the file is new; no loss where it is no number."""
    is_new = not TABLE.exists()
    with TABLE.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        if is_new:
            writer.writerow(["space", "point", "cpu_s", *(f"loss_{i + 1}" for i in range(POINTS))])
        words = [f"{loss:.4g}" if math.isfinite(loss) else "" for loss in losses]
        writer.writerow([space.name, at, f"{cpu_s:.2f}", *words])


def main() -> None:
    """Train what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("text", type=Path)
    parser.add_argument("spaces", nargs="*", default=list(SPACES))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    text = arguments.text.read_text(encoding="utf-8")
    kinds = {character: at for at, character in enumerate(sorted(set(text)))}
    ids = torch.tensor([kinds[character] for character in text])
    for name in arguments.spaces:
        space, done = SPACES[name], read_table(name)
        for at, point in enumerate(space.points):
            if at in done:
                continue
            started_s = time.thread_time()
            losses = train(DEFAULTS | space.fixed | space.read(point), ids, len(kinds))
            append(space, at, time.thread_time() - started_s, losses)


if __name__ == "__main__":
    main()
