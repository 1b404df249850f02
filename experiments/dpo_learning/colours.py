"""Makes preference pairs that differ in one thing only: the chosen answer names a colour.

Both answers have the same words but one, of the same letters' count, so that length tells nothing.
"""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np

COLOURS = [
    *("red", "tan"),
    *("blue", "gray", "pink", "teal", "gold"),
    *("green", "brown", "black", "white"),
    *("purple", "yellow", "orange", "indigo"),
    *("crimson", "scarlet"),
]
OTHERS = [
    *("big", "old", "wet"),
    *("cold", "soft", "warm", "wide", "thin"),
    *("heavy", "quiet", "sharp", "empty"),
    *("narrow", "broken", "wooden", "gentle"),
    *("ancient", "massive"),
]
NOUNS = [
    *("door", "boat", "chair", "lamp", "stone", "coat"),
    *("fence", "wagon", "box", "bridge", "kettle", "gate"),
]
PLACES = ["garden", "harbour", "kitchen", "valley", "market", "attic", "forest", "station"]
MANNERS = ["rather", "quite", "very", "clearly"]


def rows(seed: int = 0, training: int = 128, held_out: int = 32) -> tuple[list[dict], list[dict]]:
    """Return training and held-out rows; no prompt is in both."""
    random = np.random.default_rng(seed)
    prompts = random.permutation(list(product(NOUNS, PLACES, MANNERS)))[: training + held_out]
    made = []
    for noun, place, manner in prompts:
        colour = random.choice(COLOURS)
        other = random.choice([word for word in OTHERS if len(word) == len(colour)])
        prompt = f"The {noun} in the {place} was {manner}"
        made.append({"prompt": prompt, "chosen": f" {colour}.", "rejected": f" {other}."})
    return made[:training], made[training:]


def write(folder: Path, seed: int = 0) -> tuple[Path, Path]:
    """Write train.jsonl and held_out.jsonl."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / "train.jsonl", folder / "held_out.jsonl"
    for path, part in zip(paths, rows(seed), strict=True):
        path.write_text("".join(json.dumps(row) + "\n" for row in part), encoding="utf-8")
    return paths
