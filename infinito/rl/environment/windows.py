"""The windows of text that an environment's language models train on and are measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from infinito.data.batches.token_blocks import TokenBlocks


@dataclass(frozen=True)
class Windows:
    """Training windows and two fixed batches of held-out windows, all int64 token ids."""

    train: TokenBlocks
    probe: Tensor
    """From the validation split, (windows, block + 1): source of observations and rewards."""
    test: Tensor
    """From the test split, (windows, block + 1): measures the final perplexity, chooses nothing."""

    def sample(self, seeds: Sequence[tuple[int, ...]], steps: int, batch: int) -> Tensor:
        """Return random training windows, (steps, models, batch, block + 1).

        Args:
            seeds: The seed of each model's windows.
            steps: Optimizer steps.
            batch: Windows of one model in one step.
        """
        numbers = np.stack(
            [
                np.random.default_rng(seed).integers(len(self.train), size=(steps, batch))
                for seed in seeds
            ],
            axis=1,
        )  # (steps, models, batch)
        return self.train.__getitems__(numbers.ravel()).view(*numbers.shape, -1)


def spread_windows(blocks: TokenBlocks, count: int) -> Tensor:
    """Return `count` windows spread evenly over a split, or all where there are fewer."""
    return blocks.__getitems__(
        np.linspace(0, len(blocks) - 1, min(count, len(blocks))).round().astype(np.int64)
    )
