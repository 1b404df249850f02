"""Orders rows into batches of similar length: a new order each epoch, each row once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

import numpy as np

from infinito.data.batches.order import EvaluationOrder, permutation
from infinito.errors import DataError

POOL_BATCHES = 64
"""Batches among which rows are sorted by length."""

CALL_TOKENS = 64
"""Tokens that cost a CPU about as much as another call of a small model."""

CALL_TOKENS_LARGE = 128
"""The same where `LARGE` weights and more are trained: each call passes over all of them and over
their gradients. With half a billion, 342 tokens in two calls took as long as 430 in one; and
between the calls of a batch, gradients of all weights are held."""

LARGE = 100_000_000

Batch = TypeVar("Batch")


def call_tokens(trained: int) -> int:
    """Return how many tokens cost a CPU as much as another call, with so many trained weights."""
    return CALL_TOKENS if trained < LARGE else CALL_TOKENS_LARGE


class BucketOrder:
    """Batches of rows, which depend on (seed, epoch, rank) alone.

    An epoch is a permutation of all rows, cut into pools; a pool is sorted by length and cut into
    batches, and the batches of all pools are shuffled. No row is left out: batches of an epoch
    differ by at most one row. A process takes every `world_size`-th row of a global batch.

    Args:
        lengths: Tokens of each row.
        batch_size: Rows per batch and process; exceeded only if the last batch would have fewer
            rows than there are processes.
        seed: Seed of the orders.
        pool_batches: Batches per pool; 1 for no bucketing.
        rank: Number of this process.
        world_size: Number of processes.

    Raises:
        DataError: fewer rows than processes.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        batch_size: int,
        *,
        seed: int,
        pool_batches: int = 64,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.lengths = np.asarray(lengths)
        if len(self.lengths) < world_size:
            raise DataError(
                f"{len(self.lengths)} row(s) are too few for {world_size} processes. Use fewer "
                "processes (`trainer.devices`) or more rows."
            )
        self.seed, self.rank, self.world_size = seed, rank, world_size
        self.pool_batches = pool_batches
        count = len(self.lengths)
        self.count = min(-(-count // (batch_size * world_size)), count // world_size)

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return self.count

    def batches(self, epoch: int, start: int = 0) -> Iterator[tuple[np.ndarray, float]]:
        """Yield the row numbers (batch,) of an epoch's batches from number `start` on.

        With each comes the weight of its rows: gradients are averaged over processes, and the
        weight makes every row of a global batch count equally although processes' parts differ.
        """
        for rows in self.global_batches(epoch, start):
            yield self.part(rows), self.world_size / len(rows)

    def part(self, rows: np.ndarray) -> np.ndarray:
        """Return the rows of a global batch that this process takes."""
        return rows[self.rank :: self.world_size]

    def global_batches(self, epoch: int, start: int = 0) -> Iterator[np.ndarray]:
        """Yield the row numbers of an epoch's batches of all processes together."""
        order = permutation(len(self.lengths), self.seed, epoch)
        cuts = [len(order) * batch // self.count for batch in range(self.count + 1)]
        for pool in range(0, self.count, self.pool_batches):
            part = slice(cuts[pool], cuts[min(pool + self.pool_batches, self.count)])
            if self.pool_batches > 1:
                numbers = order[part]
                order[part] = numbers[np.argsort(self.lengths[numbers], kind="stable")]
        shuffled = np.arange(self.count)
        if self.pool_batches > 1:
            np.random.default_rng([self.seed, epoch, 1]).shuffle(shuffled)
        for batch in shuffled[start:]:
            yield order[cuts[batch] : cuts[batch + 1]]


class HeldOutBatches(Generic[Batch]):
    """All held-out rows once, in batches of similar length, in a fixed shuffled order.

    Shuffled because `trainer.validation_batches` keeps the first ones, which would be the shortest.

    Args:
        lengths: Tokens of each row.
        order: Splits the rows into batches and among processes.
        collate: Builds the batch of the rows with numbers (batch,), without a share.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        order: EvaluationOrder,
        collate: Callable[[np.ndarray, float | None], Batch],
    ) -> None:
        self.by_length = np.argsort(lengths, kind="stable")
        self.order, self.collate = order, collate

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[Batch]:
        batches = list(self.order.batches())
        for number in permutation(len(batches), seed=0, epoch=0):
            yield self.collate(self.by_length[batches[number]], None)
