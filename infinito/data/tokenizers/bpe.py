"""Byte-level byte pair encoding, trained on the training split."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from infinito.config.tokenizer import LARGEST_VOCAB
from infinito.data.tokenizers.spec import END, TokenizerSpec, check_vocab_size, wrapped
from infinito.errors import ConfigError

SMALLEST_VOCAB = 257


@dataclass(frozen=True)
class BpeTokenizer(TokenizerSpec):
    """`<eos>`, the 256 bytes, then merges: any text is encoded without loss, none is unknown.

    Args:
        vocab_size: tokens in all, 257 to 10,000,000.
        min_frequency: occurrences that a pair needs to be merged.

    Source: Sennrich et al., arXiv:1508.07909; bytes and the split into words as in GPT-2.
    """

    vocab_size: int
    min_frequency: int = 2

    def __post_init__(self) -> None:
        if self.vocab_size < SMALLEST_VOCAB:
            raise ConfigError(
                f"`tokenizer.vocab_size`={self.vocab_size} is below {SMALLEST_VOCAB}, the 256 "
                f"bytes and {END}. Choose e.g. tokenizer.vocab_size=1000."
            )
        if self.vocab_size > LARGEST_VOCAB:
            raise ConfigError(
                f"`tokenizer.vocab_size`={self.vocab_size} is above {LARGEST_VOCAB:,}. "
                "Choose e.g. tokenizer.vocab_size=50000."
            )

    def build(
        self,
        pieces: Iterable[str],
        *,
        separates_documents: bool,  # noqa: ARG002
    ) -> PreTrainedTokenizerFast:
        backend = Tokenizer(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=self.vocab_size,
            min_frequency=self.min_frequency,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            special_tokens=[END],
            show_progress=False,
        )
        backend.train_from_iterator(pieces, trainer)
        reached = backend.get_vocab_size()
        limit = f"(bytes and merges of pairs seen at least {self.min_frequency} times)"
        check_vocab_size(self.vocab_size, reached, limit)
        return wrapped(backend, eos_token=END)
