"""Which pairs make up which batch: of like length, drawn anew each epoch, each pair once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from infinito.data.batch_order import permutation
from infinito.errors import DataError


class BucketOrder:
    """Batches of pairs as functions of (seed, epoch, rank) and of nothing else.

    An epoch is a permutation of all pairs, cut into pools; a pool is sorted by length and cut into
    batches, and the batches of all pools are shuffled. No pair is left out: batches of an epoch
    differ by at most one pair. A process takes every `world_size`-th pair of a global batch.

    Args:
        lengths: of each pair, in tokens.
        batch_size: pairs per batch and process; exceeded only where there are fewer pairs than
            processes in a batch of the remainder.
        seed: of the orders.
        pool_batches: batches per pool; 1 for no bucketing.
        rank: number of this process.
        world_size: number of processes.

    Raises:
        DataError: fewer pairs than processes.
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
                f"{len(self.lengths)} pair(s) cannot be shared by {world_size} processes. Use "
                "fewer with `trainer.devices`, or more pairs."
            )
        self.seed, self.rank, self.world_size = seed, rank, world_size
        self.pool_batches = pool_batches
        count = len(self.lengths)
        self.count = min(-(-count // (batch_size * world_size)), count // world_size)

    def __len__(self) -> int:
        """Returns the batches of an epoch."""
        return self.count

    def batches(self, epoch: int, start: int = 0) -> Iterator[tuple[np.ndarray, float]]:
        """Yields the pair numbers (batch,) of an epoch's batches from number `start` on.

        With each comes the weight of its pairs in the mean over all processes: with gradients
        averaged over processes, unequal parts of a global batch still count each pair alike.
        """
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
            pairs = order[cuts[batch] : cuts[batch + 1]]
            yield pairs[self.rank :: self.world_size], self.world_size / len(pairs)
