"""The whole training as one stream of batches, which can begin at any of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
from lightning import LightningDataModule
from torch import Tensor

from infinito.data.batch_loader import EvaluationLoader, fetched
from infinito.data.batch_order import TrainingOrder
from infinito.data.datamodule import LanguageDataModule
from infinito.data.token_blocks import TokenBlocks


class TrainingStream:
    """Batches 0 … `total` − 1 of a training, epoch after epoch, each in its own order.

    Lightning sees one long epoch. Its restart logic differs with the hook in which a checkpoint was
    saved and breaks at epoch boundaries; a single counter has no boundaries.

    Args:
        blocks: The windows.
        order: The batches of each epoch.
        total: Batches of the whole training.
        start: Batches that are already done.
        workers: Processes that fetch ahead.
    """

    def __init__(
        self,
        blocks: TokenBlocks,
        order: TrainingOrder,
        total: int,
        start: int = 0,
        workers: int = 0,
    ) -> None:
        self.blocks = blocks
        self.order = order
        self.total = total
        self.start = start
        self.workers = workers

    def __len__(self) -> int:
        """Batches of the whole training, wherever it begins."""
        return self.total

    def __iter__(self) -> Iterator[Tensor]:
        batches = islice(self._window_numbers(), self.total - self.start)
        return iter(fetched(self.blocks, batches, self.workers))

    def _window_numbers(self) -> Iterator[np.ndarray]:
        epoch, batch = divmod(self.start, len(self.order))
        while True:
            yield from self.order.batches(epoch, batch)
            epoch, batch = epoch + 1, 0

    def state_dict(self) -> dict[str, int]:
        """Nothing: the place is `start`, which the trainer's counter gives.

        Lightning asks for it as the sign of a loader that can be resumed.
        """
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Nothing to load; see `state_dict`."""


class StreamedData(LightningDataModule):
    """A `LanguageDataModule` whose training split is one stream.

    Args:
        data: Makes the batches.
        total: Batches of the whole training.
        start: Batches that are already done.
    """

    def __init__(self, data: LanguageDataModule, total: int, start: int = 0) -> None:
        super().__init__()
        self.data = data
        self.total = total
        self.start = start

    def train_dataloader(self) -> TrainingStream:
        """The batches that are left, of this process."""
        self.data.trainer = self.trainer
        loader = self.data.train_dataloader()
        return TrainingStream(loader.blocks, loader.order, self.total, self.start, loader.workers)

    def val_dataloader(self) -> EvaluationLoader:
        """All windows of the validation split, those of this process."""
        return self.data.val_dataloader()
