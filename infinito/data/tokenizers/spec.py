"""The interface of every tokenizer that a configuration can name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from infinito.errors import DataError

END = "<eos>"
UNKNOWN = "<unk>"


class TokenizerSpec(ABC):
    """A recipe: the same options and the same training text give the same tokenizer.

    Attributes:
        is_trained: whether `build` reads the text; only then is its result cached by that text.
    """

    is_trained: bool = True

    @abstractmethod
    def build(self, pieces: Iterable[str], *, separates_documents: bool) -> PreTrainedTokenizerFast:
        """Return the tokenizer trained on pieces of the training split.

        Args:
            pieces: consecutive text of the training split, read at most once.
            separates_documents: whether an end-of-document token is needed.

        Raises:
            DataError: the text does not support the requested vocabulary.
        """


def wrapped(backend: Tokenizer, **special_tokens: str) -> PreTrainedTokenizerFast:
    """Return the Hugging Face tokenizer around `backend`, whose text it never tidies up."""
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, clean_up_tokenization_spaces=False, **special_tokens
    )


def check_vocab_size(requested: int, reached: int, limit: str) -> None:
    """Check that training reached the requested size.

    Raises:
        DataError: naming both sizes and the override.
    """
    if reached < requested:
        raise DataError(
            f"`tokenizer.vocab_size`={requested} is more than the training text supports: it has "
            f"{reached} {limit}. Choose tokenizer.vocab_size={reached} or less, or more text."
        )
