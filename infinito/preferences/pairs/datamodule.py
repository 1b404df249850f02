"""Batches of tokenized pairs for Lightning."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from lightning.pytorch import LightningDataModule
from torch import Tensor

from infinito.data.batches.order import EvaluationOrder
from infinito.data.conversations.length_buckets import (
    CALL_TOKENS,
    POOL_BATCHES,
    BucketOrder,
    HeldOutBatches,
)
from infinito.errors import DataError
from infinito.preferences.pairs.pair import TokenizedPair
from infinito.preferences.scoring.layouts import LayoutName, PairBatch, arrange

Collate = Callable[[np.ndarray, float | None], PairBatch]
"""Returns the batch of the pairs with numbers (batch,), and with `share` as in `PairBatch`."""


class PreferenceStream:
    """Batches `start` … `total` − 1 of a training, epoch after epoch.

    Args:
        order: The order of pairs in each epoch.
        collate: Builds the batches.
        total: Batches of the whole training.
        start: Batches that are already done.
        accumulate: Batches of an optimizer step. Lightning averages their losses; a pair's share
            turns that into the mean over their pairs, although batches differ in size.
    """

    def __init__(
        self,
        order: BucketOrder,
        collate: Collate,
        total: int,
        start: int = 0,
        accumulate: int = 1,
    ) -> None:
        self.order, self.collate = order, collate
        self.total, self.start = total, start
        self.accumulate = accumulate

    def __len__(self) -> int:
        """Return the number of batches of the whole training, wherever this stream begins."""
        return self.total

    def __iter__(self) -> Iterator[PairBatch]:
        batches = islice(self._numbers(), self.total - self.start)
        while step := list(islice(batches, self.accumulate)):
            share = self.accumulate / sum(1 / each for _, each in step)
            for numbers, _ in step:
                yield self.collate(numbers, share)

    def _numbers(self) -> Iterator[tuple[np.ndarray, float]]:
        epoch, batch = divmod(self.start, len(self.order))
        while True:
            yield from self.order.batches(epoch, batch)
            epoch, batch = epoch + 1, 0

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: the trainer's counter says where to resume, see `start`.

        Lightning takes the presence of this method as the sign that a loader can be resumed.
        """
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Do nothing: `state_dict` is empty."""


class PreferenceDataModule(LightningDataModule):
    """Batches of preference pairs.

    Args:
        train: Training pairs.
        valid: Held-out pairs.
        layout: How a batch becomes model input, a name in `LAYOUTS`.
        batch_size: Pairs per training batch and process.
        eval_batch_size: Pairs per held-out batch; None for `batch_size`.
        seed: Seed of the order of the training pairs.
        bucket: Batch pairs of similar length.
        accumulate: Training batches of an optimizer step.
        call_tokens: Tokens that cost a CPU as much as another call of the model.
        train_reference: (pairs, 2) log-probabilities of the reference, or None.
        valid_reference: (pairs, 2) log-probabilities of the held-out pairs, or None.

    Attributes:
        total_batches: Batches of the whole training; None for one epoch.
        start_batch: Batches of it that are already done.

    Raises:
        DataError: a set is empty.
    """

    def __init__(
        self,
        train: Sequence[TokenizedPair],
        valid: Sequence[TokenizedPair],
        *,
        layout: LayoutName,
        batch_size: int,
        eval_batch_size: int | None = None,
        seed: int = 0,
        bucket: bool = True,
        accumulate: int = 1,
        call_tokens: int = CALL_TOKENS,
        train_reference: Tensor | None = None,
        valid_reference: Tensor | None = None,
    ) -> None:
        super().__init__()
        for name, pairs in (("training", train), ("held-out", valid)):
            if not pairs:
                raise DataError(f"There is no {name} pair: expected at least one in `data.path`.")
        self.train, self.valid, self.layout = train, valid, layout
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size or batch_size
        self.seed, self.bucket, self.accumulate = seed, bucket, accumulate
        self.call_tokens = call_tokens
        self.train_reference, self.valid_reference = train_reference, valid_reference
        self.total_batches: int | None = None
        self.start_batch = 0

    def batches_per_epoch(self, world_size: int = 1) -> int:
        """Return the number of batches in which so many processes pass over the training pairs."""
        return len(self._order(0, world_size))

    def _order(self, rank: int, world_size: int) -> BucketOrder:
        return BucketOrder(
            [pair.tokens for pair in self.train],
            self.batch_size,
            seed=self.seed,
            pool_batches=POOL_BATCHES if self.bucket else 1,
            rank=rank,
            world_size=world_size,
        )

    def train_dataloader(self) -> PreferenceStream:
        """Return the remaining batches of this process, in orders fixed by (seed, epoch)."""
        order = self._order(*self._rank_and_world_size())
        total = self.total_batches or len(order)
        collate = self._collate(self.train, self.train_reference)
        return PreferenceStream(order, collate, total, self.start_batch, self.accumulate)

    def val_dataloader(self) -> HeldOutBatches[PairBatch]:
        """Return the held-out batches of this process."""
        rank, world_size = self._rank_and_world_size()
        order = EvaluationOrder(
            len(self.valid), self.eval_batch_size, rank=rank, world_size=world_size
        )
        collate = self._collate(self.valid, self.valid_reference)
        return HeldOutBatches([pair.tokens for pair in self.valid], order, collate)

    def _collate(self, pairs: Sequence[TokenizedPair], reference: Tensor | None) -> Collate:
        """Return a collate function for the device: a CPU avoids padding, a GPU avoids calls."""
        trainer = self.trainer
        on_cpu = trainer is None or trainer.strategy.root_device.type == "cpu"

        def collate(numbers: np.ndarray, share: float | None) -> PairBatch:
            of_batch = None if reference is None else reference[numbers].T.flatten()
            chosen = [pairs[number] for number in numbers]
            call_tokens = self.call_tokens if on_cpu else None
            return arrange(chosen, self.layout, of_batch, share, call_tokens)

        return collate

    def _rank_and_world_size(self) -> tuple[int, int]:
        """Return the rank of this process and the number of processes."""
        if self.trainer is None:
            return 0, 1
        return self.trainer.global_rank, self.trainer.world_size
