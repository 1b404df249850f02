"""Loaders that hand whole batches to a training loop and can begin anywhere in a training."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from infinito.data.batches.order import EvaluationOrder, TrainingOrder
from infinito.data.batches.token_blocks import TokenBlocks
from infinito.errors import DataError

LOCKS = 8
"""Locks for each worker process, more than torch's queues and events need."""


class EvaluationLoader:
    """All windows of a split as batches, int64 (batch, block_size + 1).

    Args:
        blocks: the windows.
        order: the batches.
        workers: processes that fetch ahead; 0 fetches here, which takes microseconds.
    """

    def __init__(self, blocks: TokenBlocks, order: EvaluationOrder, workers: int = 0) -> None:
        self.blocks, self.order, self.workers = blocks, order, workers

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[Tensor]:
        return iter(fetch(self.blocks, self.order.batches(), self.workers))


class TrainingStream:
    """Batches 0 … `total` − 1 of a training, int64 (batch, block_size + 1), epoch after epoch.

    A training is one stream with one counter: Lightning's restart logic differs with the hook in
    which a checkpoint was saved, and breaks at epoch boundaries. A stream has none.

    Args:
        blocks: the windows.
        order: the batches of each epoch.
        total: batches of the whole training.
        start: batches that are already done.
        workers: processes that fetch ahead; 0 fetches here, which takes microseconds.
    """

    def __init__(
        self,
        blocks: TokenBlocks,
        order: TrainingOrder,
        total: int,
        start: int = 0,
        workers: int = 0,
    ) -> None:
        self.blocks, self.order, self.workers = blocks, order, workers
        self.total, self.start = total, start

    def __len__(self) -> int:
        """Return the batches of the whole training, wherever this stream begins."""
        return self.total

    def __iter__(self) -> Iterator[Tensor]:
        batches = islice(self._window_numbers(), self.total - self.start)
        return iter(fetch(self.blocks, batches, self.workers))

    def _window_numbers(self) -> Iterator[np.ndarray]:
        epoch, batch = divmod(self.start, len(self.order))
        while True:
            yield from self.order.batches(epoch, batch)
            epoch, batch = epoch + 1, 0

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: the place is `start`, which the trainer's counter gives.

        Lightning asks for this method as the sign of a loader that can be resumed.
        """
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Do nothing, as `state_dict` has nothing."""


def fetch(blocks: TokenBlocks, batches: Iterable[np.ndarray], workers: int) -> Iterable[Tensor]:
    """Yield the windows (batch, block_size + 1) of each batch of window numbers, in order.

    Raises:
        DataError: worker processes cannot start, or one ended early.
    """
    if workers == 0:
        return map(blocks.__getitems__, batches)
    loader = DataLoader(
        blocks,
        batch_sampler=cast(Any, batches),
        num_workers=workers,
        collate_fn=cast(Any, Tensor.numpy),  # arrays go through pipes, tensors take shared memory
        generator=torch.Generator(),  # without it torch's global state moves by one draw
    )
    return _fetch_in_workers(loader, workers)


def _fetch_in_workers(loader: DataLoader[Any], workers: int) -> Iterator[Tensor]:
    try:
        # what fails inside the loader leaves it half made, and loud about it
        probes = [multiprocessing.Lock() for _ in range(LOCKS * (workers + 1))]
        del probes
        yield from map(torch.from_numpy, loader)
    except (OSError, RuntimeError) as error:  # torch raises bare RuntimeError for a lost worker
        cause = str(error).strip().splitlines()[-1].rstrip(".")
        raise DataError(
            f"The worker processes of data.workers={workers} cannot work here: {cause}. Their "
            "locks need a writable /dev/shm. Use data.workers=0, which fetches in this process."
        ) from error
