"""A source and a tokenizer made into batches for Lightning."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
from lightning.pytorch import LightningDataModule
from transformers import PreTrainedTokenizerFast

from infinito.data.batches.loader import EvaluationLoader, TrainingStream
from infinito.data.batches.order import EvaluationOrder, TrainingOrder
from infinito.data.batches.token_blocks import TokenBlocks
from infinito.data.conversations.datamodule import ConversationDataModule, ConversationStream
from infinito.data.conversations.layouts import ConversationBatch
from infinito.data.conversations.length_buckets import HeldOutBatches
from infinito.data.encoding import (
    TokenChunk,
    count_ids,
    encode_documents,
    id_dtype,
    tokenizer_fingerprint,
)
from infinito.data.sources import MarkovSource, Split, TextSource
from infinito.data.sources.source import digest
from infinito.data.token_cache import SplitMeta, TokenCache, TokenFile
from infinito.data.tokenizers import TokenizerSpec
from infinito.errors import ConfigError
from infinito.run_folder.progress import Show, watched


class TrainingBatches(LightningDataModule):
    """The batches of one training: Lightning asks its data for loaders without arguments.

    Args:
        data: the windows, or the conversations.
        total: batches of the whole training.
        start: batches of it that are already done.
    """

    def __init__(
        self, data: LanguageDataModule | ConversationDataModule, total: int, start: int = 0
    ) -> None:
        super().__init__()
        self.data, self.total, self.start = data, total, start

    def setup(self, stage: str) -> None:  # noqa: ARG002
        """Tells the windows which process they are read in."""
        self.data.trainer = self.trainer

    def train_dataloader(self) -> TrainingStream | ConversationStream:
        """Returns the training batches that are left."""
        return self.data.train_dataloader(self.total, self.start)

    def val_dataloader(self) -> EvaluationLoader | HeldOutBatches[ConversationBatch]:
        """Returns the validation batches."""
        return self.data.val_dataloader()


class LanguageDataModule(LightningDataModule):
    """Batches of token windows, int64 (batch, block_size + 1), of the splits of one source.

    A split is read, tokenised and cached when it is first needed, so the test split stays
    closed until `test_dataloader` or `split_meta("test")` opens it.

    Args:
        source: the text, or a Markov chain.
        tokenizer: how to tokenise the text; None for a Markov chain, which has its own.
        block_size: predictions per window.
        batch_size: windows per training batch and process.
        eval_batch_size: windows per evaluation batch; None for `batch_size`.
        seed: of the order of the training windows.
        workers: processes that fetch batches; 0 fetches in the training process.
        cache_dir: folder of tokens and tokenizers, shared between runs.
        show: receives the progress of reading and tokenising.

    Raises:
        ConfigError: text without a tokenizer, or a chain with one.
    """

    def __init__(
        self,
        source: TextSource | MarkovSource,
        tokenizer: TokenizerSpec | None,
        *,
        block_size: int,
        batch_size: int,
        eval_batch_size: int | None = None,
        seed: int = 0,
        workers: int = 0,
        cache_dir: str | Path,
        show: Show | None = None,
    ) -> None:
        super().__init__()
        if isinstance(source, MarkovSource) != (tokenizer is None):
            fault = (
                "needs a tokenizer, e.g. tokenizer=bpe."
                if tokenizer is None
                else "yields tokens, not text: it takes no tokenizer."
            )
            raise ConfigError(f"`data.name`={source.name} {fault}")
        self.source, self.spec = source, tokenizer
        self.block_size = block_size
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size or batch_size
        self.seed, self.workers = seed, workers
        self.cache = TokenCache(cache_dir)
        self.show = show
        if isinstance(source, TextSource):
            source.show = show
        self._files: dict[Split, TokenFile] = {}

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The tokenizer of all splits, trained on the training split if it needs training."""
        if isinstance(self.source, MarkovSource):
            return self.source.tokenizer()
        source, spec = self.source, self.spec
        assert spec is not None
        separates = source.separates_documents
        if not spec.is_trained:
            return spec.build((), separates_documents=separates)
        key = digest(source.fingerprint("train"), type(spec).__name__, vars(spec), separates)[:32]

        def train() -> PreTrainedTokenizerFast:
            size, what = source.utf8_bytes("train"), "training the tokenizer"
            pieces = watched(source.pieces("train"), what, _count_bytes, size, self.show)
            return spec.build(pieces, separates_documents=separates)

        return self.cache.tokenizer(key, train)

    @cached_property
    def vocab_size(self) -> int:
        """Number of token ids, special tokens counted."""
        return count_ids(self.tokenizer)

    def split_meta(self, split: Split) -> SplitMeta:
        """Returns the counts of a split, which is tokenised if it was not before."""
        return self._tokens(split).meta

    def fingerprint(self, split: Split) -> str:
        """Returns the hex SHA-256 of the split's content and options, for the record of a run."""
        return self.source.fingerprint(split)

    def blocks(self, split: Split) -> TokenBlocks:
        """Returns the windows of a split.

        Raises:
            DataError: the split is absent, unreadable or shorter than a window.
        """
        name = f"{split} split of {self.source.description}"
        return TokenBlocks(self._tokens(split), self.block_size, name)

    def ids(self, split: Split, most: int) -> np.ndarray:
        """Returns the first ids of a split, (up to `most`,), mapped and not read."""
        tokens = self._tokens(split)
        return np.memmap(tokens.path, tokens.meta.dtype, "r")[: min(most, tokens.meta.tokens)]

    def train_dataloader(self, total: int | None = None, start: int = 0) -> TrainingStream:
        """Returns the batches of this process that are left, in orders fixed by (seed, epoch).

        Args:
            total: batches of the whole training; None for one epoch.
            start: batches of it that are already done.
        """
        blocks = self.blocks("train")
        rank, world_size = self._place()
        order = TrainingOrder(
            len(blocks), self.batch_size, seed=self.seed, rank=rank, world_size=world_size
        )
        return TrainingStream(blocks, order, total or len(order), start, self.workers)

    def val_dataloader(self) -> EvaluationLoader:
        """Returns the validation batches of this process."""
        return self.eval_dataloader("valid")

    def test_dataloader(self) -> EvaluationLoader:
        """Returns the test batches of this process."""
        return self.eval_dataloader("test")

    def eval_dataloader(self, split: Split) -> EvaluationLoader:
        """Returns all windows of any split once, in their order."""
        blocks = self.blocks(split)
        rank, world_size = self._place()
        order = EvaluationOrder(len(blocks), self.eval_batch_size, rank=rank, world_size=world_size)
        return EvaluationLoader(blocks, order, self.workers)

    def _tokens(self, split: Split) -> TokenFile:
        if split not in self._files:
            key = digest(self.source.fingerprint(split), self._tokenizer_fingerprint)[:32]
            dtype = id_dtype(self.vocab_size)
            self._files[split] = self.cache.tokens(key, dtype, lambda: self._chunks(split))
        return self._files[split]

    @cached_property
    def _tokenizer_fingerprint(self) -> str:
        return tokenizer_fingerprint(self.tokenizer)

    def _chunks(self, split: Split) -> Iterator[TokenChunk]:
        if isinstance(self.source, MarkovSource):
            return self.source.token_chunks(split)
        documents = self.source.documents(split)
        separates = self.source.separates_documents
        chunks = encode_documents(self.tokenizer, documents, separates_documents=separates)
        what, size = f"tokenising the {split} split", self.source.utf8_bytes(split)
        return watched(chunks, what, lambda chunk: chunk.utf8_bytes, size, self.show)

    def _place(self) -> tuple[int, int]:
        """Returns the number of this process and of all processes."""
        if self.trainer is None:
            return 0, 1
        return self.trainer.global_rank, self.trainer.world_size


def _count_bytes(text: str) -> int:
    return len(text.encode())
