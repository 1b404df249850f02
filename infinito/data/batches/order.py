"""Which windows make up which batch: functions of (seed, epoch, rank) and of nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from infinito.errors import DataError


class TrainingOrder:
    """A new permutation of all windows each epoch, in whole batches; the remainder is dropped.

    A process takes every `world_size`-th window of a global batch, so that two processes with batch
    size B see together what one with 2B sees.

    Args:
        windows: number of windows of the split.
        batch_size: windows per batch and process.
        seed: of the permutations.
        rank: number of this process.
        world_size: number of processes.

    Raises:
        DataError: fewer windows than one batch of all processes.
    """

    def __init__(
        self, windows: int, batch_size: int, *, seed: int, rank: int = 0, world_size: int = 1
    ) -> None:
        self.windows = windows
        self.global_batch = batch_size * world_size
        self.seed, self.rank, self.world_size = seed, rank, world_size
        if windows < self.global_batch:
            raise DataError(
                f"The train split has {windows} windows, but data.batch_size={batch_size} in "
                f"{world_size} process(es) needs at least {self.global_batch}. Choose "
                f"data.batch_size={max(1, windows // world_size)} or less, a smaller "
                "data.block_size, or more text."
            )

    def __len__(self) -> int:
        return self.windows // self.global_batch

    def batches(self, epoch: int, start: int = 0) -> Iterator[np.ndarray]:
        """Yield the window numbers (batch,) of the batches of an epoch from number `start` on."""
        order = permutation(self.windows, self.seed, epoch)
        for batch in range(start, len(self)):
            first = batch * self.global_batch
            yield order[first + self.rank : first + self.global_batch : self.world_size]


class EvaluationOrder:
    """All windows once in their order, none repeated, in equally many batches per process.

    Batches of a process differ by at most one window, so that no process waits for another at the
    end: 9 windows with batch size 8 make batches of 4 and 5. Processes share each batch, so that
    two with batch size B see together, in each batch, what one with 2B sees.

    Args:
        windows: number of windows of the split.
        batch_size: most windows per batch, exceeded only where equal counts demand it.
        rank: number of this process.
        world_size: number of processes.

    Raises:
        DataError: fewer windows than processes.
    """

    def __init__(
        self, windows: int, batch_size: int, *, rank: int = 0, world_size: int = 1
    ) -> None:
        if windows < world_size:
            raise DataError(
                f"An evaluation split of {windows} window(s) cannot be shared by {world_size} "
                "processes. Use fewer with trainer.devices, or a smaller data.block_size."
            )
        self.windows, self.rank, self.world_size = windows, rank, world_size
        most = -(-windows // world_size)
        self.count = min(-(-most // batch_size), windows // world_size)

    def __len__(self) -> int:
        return self.count

    def batches(self) -> Iterator[np.ndarray]:
        """Yield the window numbers (batch,) of each batch."""
        parts = (self.rank, self.rank + 1)
        for batch in range(self.count):
            low, high = (_cut(self.windows, part, self.count) for part in (batch, batch + 1))
            first, stop = (_cut(high - low, part, self.world_size) for part in parts)
            yield np.arange(low + first, low + stop)


def permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    """Return a permutation of range(count), int32 or int64, fixed by (seed, epoch)."""
    numbers = np.arange(count, dtype=np.int32 if count < 1 << 31 else np.int64)
    np.random.default_rng([seed, epoch]).shuffle(numbers)
    return numbers


def _cut(count: int, part: int, parts: int) -> int:
    return count * part // parts
