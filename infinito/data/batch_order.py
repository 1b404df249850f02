"""Which windows make up which batch: functions of (seed, epoch, rank) and of nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from infinito.errors import DataError


class BatchOrder(Protocol):
    """Window numbers, one array (batch,) per batch, the same count of batches in every process."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[np.ndarray]: ...


class TrainingOrder:
    """A new permutation of all windows each epoch, in whole batches; the remainder is dropped.

    A process takes every `world_size`-th window of a global batch, so that two processes with batch
    size B see together what one with 2B sees.

    `__iter__` reads epoch and start when the first batch is asked for, not before: Lightning makes
    the iterator before it restores its counters and calls `set_epoch`.

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
        self.epoch = 0
        self._start = (0, 0)
        if windows < self.global_batch:
            raise DataError(
                f"The train split has {windows} windows, but data.batch_size={batch_size} in "
                f"{world_size} process(es) needs at least {self.global_batch}. Choose "
                f"data.batch_size={max(1, windows // world_size)} or less, a smaller "
                "data.block_size, or more text."
            )

    def __len__(self) -> int:
        """Returns the batches of a whole epoch, wherever the present one starts."""
        return self.windows // self.global_batch

    def set_epoch(self, epoch: int) -> None:
        """Selects the permutation of the epoch whose iteration begins next."""
        self.epoch = epoch

    def start_at(self, epoch: int, batch: int) -> None:
        """Makes epoch `epoch` begin at its batch number `batch`; other epochs begin at 0."""
        self._start = (epoch, batch)

    def start_of(self, epoch: int) -> int:
        """Returns the number of the first batch that iteration of `epoch` yields."""
        return self._start[1] if self._start[0] == epoch else 0

    def __iter__(self) -> Iterator[np.ndarray]:
        order = permutation(self.windows, self.seed, self.epoch)
        for batch in range(self.start_of(self.epoch), len(self)):
            first = batch * self.global_batch
            yield order[first + self.rank : first + self.global_batch : self.world_size]


class EvaluationOrder:
    """All windows once in their order, none repeated, in equally many batches per process.

    Batches of a process differ by at most one window, so that no process waits for another at the
    end: with 9 windows and batch size 8 there are batches of 4 and 5.

    Args:
        windows: number of windows of the split.
        batch_size: most windows per batch, exceeded only where equal counts demand it.
        rank: number of this process.
        world_size: number of processes.

    Raises:
        DataError: fewer windows than processes.
    """

    def __init__(self, windows: int, batch_size: int, *, rank: int = 0, world_size: int = 1):
        if windows < world_size:
            raise DataError(
                f"An evaluation split of {windows} window(s) cannot be shared by {world_size} "
                "processes. Use fewer with trainer.devices, or a smaller data.block_size."
            )
        self.first, self.stop = _cut(windows, rank, world_size), _cut(windows, rank + 1, world_size)
        largest = -(-windows // world_size)
        self.batches = min(-(-largest // batch_size), windows // world_size)

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[np.ndarray]:
        for batch in range(self.batches):
            share = self.stop - self.first
            low, high = (_cut(share, n, self.batches) for n in (batch, batch + 1))
            yield np.arange(self.first + low, self.first + high)


def permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    """Returns a permutation of range(count), int32 or int64, fixed by (seed, epoch)."""
    numbers = np.arange(count, dtype=np.int32 if count < 1 << 31 else np.int64)
    np.random.default_rng([seed, epoch]).shuffle(numbers)
    return numbers


def _cut(count: int, part: int, parts: int) -> int:
    return count * part // parts
