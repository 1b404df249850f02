"""Loaders that hand whole batches to a training loop and can begin anywhere in an epoch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from infinito.data.batch_order import BatchOrder, TrainingOrder
from infinito.data.token_blocks import TokenBlocks


class BatchLoader:
    """Batches of windows, int64 (batch, block_size + 1), in the order that `order` gives.

    A plain iterable: a torch `DataLoader` takes its first indices as soon as its iterator exists,
    which under Lightning is before the epoch is known, and costs more per batch than the fetch.

    Args:
        blocks: the windows.
        order: the batches.
        workers: processes that fetch ahead; 0 fetches here, which takes microseconds.
    """

    def __init__(self, blocks: TokenBlocks, order: BatchOrder, workers: int = 0) -> None:
        self.blocks = blocks
        self.sampler = order  # Lightning looks for `sampler.set_epoch`
        self.workers = workers

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Tensor]:
        if self.workers > 0:
            yield from self._fetched_by_workers()
            return
        for indices in self.sampler:
            yield self.blocks.__getitems__(indices)

    def _fetched_by_workers(self) -> Iterable[Tensor]:
        return DataLoader(
            self.blocks,
            batch_sampler=cast(Any, self.sampler),
            num_workers=self.workers,
            collate_fn=cast(Any, _as_it_is),
            generator=torch.Generator(),  # else torch's global state moves by one draw
        )


class ResumableLoader(BatchLoader):
    """A training loader that says where it is and can be put there again.

    Lightning stores `state_dict` in its checkpoints. Its counters stay the authority where a batch
    was handed out but not finished: call `start_at` from `on_train_start` with
    (current epoch, batches processed in it).
    """

    sampler: TrainingOrder

    def __init__(self, blocks: TokenBlocks, order: TrainingOrder, workers: int = 0) -> None:
        super().__init__(blocks, order, workers)
        self._position = (0, 0)

    def __iter__(self) -> Iterator[Tensor]:
        epoch = self.sampler.epoch
        batch = self.sampler.start_of(epoch)
        for windows in super().__iter__():
            batch += 1
            self._position = (epoch, batch)
            yield windows

    def start_at(self, epoch: int, batch: int) -> None:
        """Makes epoch `epoch` begin at its batch number `batch`; later epochs begin at 0."""
        self.sampler.start_at(epoch, batch)
        self._position = (epoch, batch)

    def state_dict(self) -> dict[str, int]:
        """Returns the epoch and the number of its batches that were handed out."""
        return dict(zip(("epoch", "batch"), self._position, strict=True))

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Goes where `state_dict` was taken."""
        self.start_at(state["epoch"], state["batch"])


def _as_it_is(batch: Tensor) -> Tensor:
    return batch
