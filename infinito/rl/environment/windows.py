"""Which windows of text a language model of an environment trains on and is measured by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from infinito.data.token_blocks import TokenBlocks


@dataclass(frozen=True)
class Text:
    """Training windows and two fixed batches of held-out ones, each of token ids int64."""

    train: TokenBlocks
    probe: Tensor
    """From the validation split, (windows, block + 1): observations and rewards."""
    unseen: Tensor
    """From the test split, (windows, block + 1): the final perplexity, which chooses nothing."""

    def drawn(self, seeds: Sequence[tuple[int, ...]], steps: int, batch: int) -> Tensor:
        """Return training windows, (steps, models, batch, block + 1).

        Args:
            seeds: What fixes the draw of each model.
            steps: Optimizer steps.
            batch: Windows of one model in one step.
        """
        numbers = np.stack(
            [
                np.random.default_rng(seed).integers(len(self.train), size=(steps, batch))
                for seed in seeds
            ],
            axis=1,
        )
        return self.train.__getitems__(numbers.ravel()).view(*numbers.shape, -1)


def spread_windows(blocks: TokenBlocks, count: int) -> Tensor:
    """Return `count` windows, or all where there are fewer, evenly spread over a split."""
    return blocks.__getitems__(
        np.linspace(0, len(blocks) - 1, min(count, len(blocks))).round().astype(np.int64)
    )
