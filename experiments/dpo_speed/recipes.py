"""What is measured: models, pairs, and the ratios wanted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infinito.preferences.pairs.pair import TokenizedPair

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
LENGTHS = {
    "prompt": (4, 10, 23, 91, 189, 370, 480),
    "chosen": (2, 6, 20, 43, 77, 161, 240),
    "rejected": (2, 5, 15, 30, 58, 125, 240),
}
"""Tokens at these quantiles: those of hh-rlhf's helpful-base at 4.2 characters a token."""


@dataclass(frozen=True)
class Recipe:
    """One row of the table."""

    vocab: int = 4096
    dim: int = 128
    layers: int = 4
    heads: int = 4
    batch_size: int = 4
    steps: int = 16
    tied: bool = False
    """One table for embedding and head, as in Qwen2.5."""
    bucketed: bool = False
    """Ours batches pairs of like length; TRL is run with and without its `group_by_length`."""
    precomputed: bool = False
    lora: bool = False
    wanted_speed: float = 0.0
    """TRL's CPU time over ours, at least."""
    wanted_memory: float | None = None
    """Our peak memory over TRL's, at most."""


RECIPES = {
    "small": Recipe(wanted_speed=3.5, wanted_memory=0.4),
    "small, bucketed": Recipe(bucketed=True, wanted_speed=5.0),
    "vocab 151,936": Recipe(vocab=151_936, steps=8, tied=True, wanted_speed=6.0, wanted_memory=0.6),
    "dim 384": Recipe(dim=384, layers=6, heads=6, steps=8, wanted_speed=1.8),
    "dim 384, bucketed": Recipe(
        dim=384, layers=6, heads=6, steps=8, bucketed=True, wanted_speed=3.0
    ),
    "precomputed": Recipe(precomputed=True, wanted_speed=3.5),
    "LoRA": Recipe(lora=True, wanted_speed=3.5),
}


def random_pairs(recipe: Recipe, seed: int = 0) -> list[TokenizedPair]:
    """Return pairs of random tokens for an epoch, their lengths drawn like real dialogues'."""
    generator = np.random.default_rng(seed)

    def tokens(part: str) -> list[int]:
        length = round(float(np.interp(generator.random(), QUANTILES, LENGTHS[part])))
        return generator.integers(2, recipe.vocab, length).tolist()

    return [
        TokenizedPair(tokens("prompt"), tokens("chosen"), tokens("rejected"), None, row)
        for row in range(recipe.batch_size * recipe.steps)
    ]
