"""Batches of conversations for Lightning."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice, repeat
from typing import Any, Protocol

import numpy as np
from lightning.pytorch import LightningDataModule
from transformers import PreTrainedTokenizerFast

from infinito.data.batches.order import EvaluationOrder
from infinito.data.conversations.conversation import TokenizedConversation
from infinito.data.conversations.conversation_set import TokenizedConversations
from infinito.data.conversations.layouts import ConversationBatch, LayoutName, arrange
from infinito.data.conversations.length_buckets import (
    CALL_TOKENS,
    POOL_BATCHES,
    BucketOrder,
    HeldOutBatches,
)
from infinito.data.conversations.rendering.tokenizing import ConversationTokenizer
from infinito.data.conversations.running_text import RunningText
from infinito.data.encoding import count_ids
from infinito.run_folder.pins import Input


class Collate(Protocol):
    """Builds batches."""

    def __call__(
        self,
        numbers: np.ndarray,
        share: float | None,
        windows: Sequence[TokenizedConversation] = (),
    ) -> ConversationBatch:
        """Return the batch of the conversations with numbers (batch,), and of windows of text.

        Args:
            numbers: Of the conversations.
            share: See `ConversationBatch`.
            windows: Windows of running text.
        """


class ConversationStream:
    """Batches `start` … `total` − 1 of a training, epoch after epoch.

    Args:
        order: The order of conversations in each epoch.
        learned: Learned tokens of each conversation.
        collate: Builds the batches.
        total: Batches of the whole training.
        start: Batches that are already done.
        accumulate: Batches of an optimizer step. Lightning averages their losses, and those of all
            processes; a batch's share turns that into the mean over the step's learned tokens.
        text: Windows of text that come with each batch.
    """

    def __init__(
        self,
        order: BucketOrder,
        learned: np.ndarray,
        collate: Collate,
        total: int,
        start: int = 0,
        accumulate: int = 1,
        text: RunningText | None = None,
    ) -> None:
        self.order, self.learned, self.collate = order, learned, collate
        self.total, self.start = total, start
        self.accumulate, self.text = accumulate, text

    def __len__(self) -> int:
        """Return the number of batches of the whole training, wherever this stream begins."""
        return self.total

    def __iter__(self) -> Iterator[ConversationBatch]:
        batches = islice(self._global_batches(), self.total - self.start)
        world_size, windows = self.order.world_size, self._windows()
        while step := list(islice(batches, self.accumulate)):
            share = len(step) * world_size / sum(self._count(rows) for rows in step)
            for rows in step:
                yield self.collate(self.order.part(rows), share, next(windows))

    def _count(self, rows: np.ndarray) -> int:
        """Return the learned tokens of a global batch."""
        in_text = 0 if self.text is None else self.text.tokens * self.order.world_size
        return int(self.learned[rows].sum()) + in_text

    def _windows(self) -> Iterator[Sequence[TokenizedConversation]]:
        if self.text is None:
            return repeat(())
        return self.text.batches(self.start, self.order.rank, self.order.world_size)

    def _global_batches(self) -> Iterator[np.ndarray]:
        epoch, batch = divmod(self.start, len(self.order))
        while True:
            yield from self.order.global_batches(epoch, batch)
            epoch, batch = epoch + 1, 0

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: the trainer's counter says where to resume, see `start`.

        Lightning takes the presence of this method as the sign that a loader can be resumed.
        """
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Do nothing: `state_dict` is empty."""


class ConversationDataModule(LightningDataModule):
    """Batches of conversations.

    Args:
        train: Training conversations.
        valid: Held-out conversations.
        encode: What made their token ids.
        batch_size: Conversations per training batch and process.
        eval_batch_size: Conversations per held-out batch; None for `batch_size`.
        seed: Seed of the order of the training conversations.
        bucket: Batch conversations of similar length.
        accumulate: Training batches of an optimizer step.
        text: Windows of text that come with each training batch.

    Attributes:
        layout: How a batch becomes model input; every model takes the one it has at first.
    """

    def __init__(
        self,
        train: TokenizedConversations,
        valid: TokenizedConversations,
        encode: ConversationTokenizer,
        *,
        batch_size: int,
        eval_batch_size: int | None = None,
        seed: int = 0,
        bucket: bool = False,
        accumulate: int = 1,
        text: RunningText | None = None,
    ) -> None:
        super().__init__()
        self.train, self.valid, self.encode = train, valid, encode
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size or batch_size
        self.seed, self.bucket, self.accumulate, self.text = seed, bucket, accumulate, text
        self.layout: LayoutName = "masked"

    @property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The tokenizer, which carries the chat template."""
        return self.encode.tokenizer  # type: ignore[return-value]

    @property
    def vocab_size(self) -> int:
        """Number of token ids, special tokens counted."""
        return count_ids(self.tokenizer)

    def batches_per_epoch(self, world_size: int = 1) -> int:
        """Return the batches in which so many processes pass over the training conversations."""
        return len(self._order(0, world_size))

    def train_dataloader(self, total: int | None = None, start: int = 0) -> ConversationStream:
        """Return the remaining batches of this process, in orders fixed by (seed, epoch).

        Args:
            total: Batches of the whole training; None for one epoch.
            start: Batches of it that are already done.
        """
        order = self._order(*self._place())
        learned = np.array([len(each.learned) for each in self.train.rows])
        collate = self._collate(self.train.rows)
        return ConversationStream(
            order, learned, collate, total or len(order), start, self.accumulate, self.text
        )

    def val_dataloader(self) -> HeldOutBatches[ConversationBatch]:
        """Return the held-out batches of this process."""
        return self.eval_dataloader("valid")

    def eval_dataloader(self, split: str) -> HeldOutBatches[ConversationBatch]:
        """Return all conversations of `train` or `valid` once."""
        rank, world_size = self._place()
        rows = self.train.rows if split == "train" else self.valid.rows
        order = EvaluationOrder(len(rows), self.eval_batch_size, rank=rank, world_size=world_size)
        return HeldOutBatches([len(each.ids) for each in rows], order, self._collate(rows))

    def _order(self, rank: int, world_size: int) -> BucketOrder:
        return BucketOrder(
            [len(each.ids) for each in self.train.rows],
            self.batch_size,
            seed=self.seed,
            pool_batches=POOL_BATCHES if self.bucket else 1,
            rank=rank,
            world_size=world_size,
        )

    def _collate(self, conversations: Sequence[TokenizedConversation]) -> Collate:
        """Return a collate function for the device: a CPU avoids padding, a GPU avoids calls."""
        on_cpu = self.trainer is None or self.trainer.strategy.root_device.type == "cpu"
        call_tokens = CALL_TOKENS if on_cpu else None

        def collate(
            numbers: np.ndarray,
            share: float | None,
            windows: Sequence[TokenizedConversation] = (),
        ) -> ConversationBatch:
            chosen = [*(conversations[number] for number in numbers), *windows]
            return arrange(chosen, self.layout, share, call_tokens)

        return collate

    def _place(self) -> tuple[int, int]:
        """Return the number of this process and of all processes."""
        if self.trainer is None:
            return 0, 1
        return self.trainer.global_rank, self.trainer.world_size


def conversation_inputs(data: ConversationDataModule) -> Iterator[Input]:
    """Yield the token ids of both sets, which text, template and tokenizer make."""
    for name, found in (("training", data.train), ("held-out", data.valid)):
        yield Input(f"token ids of the {name} conversations", found.source, fingerprint(found))
    if data.text is not None:
        yield Input("token ids of the running text", data.text.name, data.text.fingerprint)


def fingerprint(found: TokenizedConversations) -> str:
    """Return the hex SHA-256 of all token ids and of which are learned."""
    content = hashlib.sha256()
    for each in found.rows:
        for values in (each.ids, each.learned):
            content.update(np.array([len(values), *values], dtype="<i8").tobytes())
    return content.hexdigest()
