"""The whole training as one stream of batches, which can begin at any of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from lightning import LightningDataModule
from torch import Tensor

from infinito.data.batch_loader import BatchLoader, ResumableLoader
from infinito.data.datamodule import LanguageDataModule


class TrainingStream:
    """Batches 0 … `total` − 1 of a training, epoch after epoch, each in its own order.

    Lightning sees one long epoch. Its restart logic differs with the hook in which a checkpoint was
    saved and breaks at epoch boundaries; a single counter has no boundaries.

    Args:
        loader: Yields the batches of one epoch.
        total: Batches of the whole training.
        start: Batches that are already done.
    """

    def __init__(self, loader: ResumableLoader, total: int, start: int = 0) -> None:
        self.loader = loader
        self.total = total
        self.start = start

    def __len__(self) -> int:
        """Batches of the whole training, wherever it begins."""
        return self.total

    def __iter__(self) -> Iterator[Tensor]:
        return islice(self._from_start(), self.total - self.start)

    def _from_start(self) -> Iterator[Tensor]:
        epoch, batch = divmod(self.start, len(self.loader))
        while True:
            self.loader.sampler.set_epoch(epoch)
            self.loader.start_at(epoch, batch)
            yield from self.loader
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
        return TrainingStream(self.data.train_dataloader(), self.total, self.start)

    def val_dataloader(self) -> BatchLoader:
        """All windows of the validation split, those of this process."""
        return self.data.val_dataloader()
