"""Loaders that hand whole batches to a training loop and can begin anywhere in an epoch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from infinito.data.batch_order import EvaluationOrder, TrainingOrder
from infinito.data.token_blocks import TokenBlocks


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
        return iter(fetched(self.blocks, self.order.batches(), self.workers))


class TrainingLoader:
    """Batches of one epoch after the other, int64 (batch, block_size + 1), from any place on.

    Each iteration that is begun is the next epoch. An iterator that is made but never asked for a
    batch does not count: Lightning makes one before it knows where it will resume.

    Lightning's own epoch counter is not used, because a run that `max_steps` stops within an epoch
    counts that epoch as finished.

    Args:
        blocks: the windows.
        order: the batches of an epoch.
        workers: processes that fetch ahead; 0 fetches here, which takes microseconds.

    Attributes:
        position: (epoch, number of its batches handed out).
    """

    def __init__(self, blocks: TokenBlocks, order: TrainingOrder, workers: int = 0) -> None:
        self.blocks, self.order, self.workers = blocks, order, workers
        self.start_at(0, 0)

    def __len__(self) -> int:
        """Returns the batches of a whole epoch, wherever the present one started."""
        return len(self.order)

    def start_at(self, epoch: int, batch: int) -> None:
        """Makes the next iteration begin at batch number `batch` of epoch `epoch`."""
        self.position = (epoch, batch)
        self._is_begun = False

    def __iter__(self) -> Iterator[Tensor]:
        if self._is_begun:
            self.position = (self.position[0] + 1, 0)
        self._is_begun = True
        epoch, batch = self.position
        indices = self.order.batches(epoch, batch)
        for windows in fetched(self.blocks, indices, self.workers):
            batch += 1
            self.position = (epoch, batch)
            yield windows

    def state_dict(self) -> dict[str, Any]:
        """Returns nothing: the datamodule stores the position, which Lightning always restores.

        A loader's state it restores in some kinds of resume only, but without this method it warns.
        """
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Does nothing, as `state_dict` has nothing."""


def fetched(blocks: TokenBlocks, batches: Iterable[np.ndarray], workers: int) -> Iterable[Tensor]:
    """Yields the windows (batch, block_size + 1) of each batch of window numbers, in order."""
    if workers == 0:
        return map(blocks.__getitems__, batches)
    return DataLoader(
        blocks,
        batch_sampler=cast(Any, batches),
        num_workers=workers,
        collate_fn=cast(Any, _as_it_is),
        generator=torch.Generator(),  # else torch's global state moves by one draw
    )


def _as_it_is(batch: Tensor) -> Tensor:
    return batch
