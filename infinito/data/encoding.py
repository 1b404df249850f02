"""Documents to token ids, in pieces that keep memory small."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from infinito.errors import DataError

CHARACTERS_AT_ONCE = 1 << 18
"""Of the pieces that are encoded together, on all cores; a token takes 100 bytes meanwhile."""


class TokenChunk(NamedTuple):
    """Consecutive token ids of a split and what they were made from.

    Attributes:
        ids: (tokens,), uint16 or uint32.
        utf8_bytes: bytes of text that the ids stand for; end-of-document tokens have none.
        words: stretches between white space, plus line ends: the `<eos>` of word-level perplexity.
        documents: documents that end with this chunk.
    """

    ids: np.ndarray
    utf8_bytes: int
    words: int
    documents: int


def encode_documents(
    tokenizer: PreTrainedTokenizerFast,
    documents: Iterable[Iterable[str]],
    *,
    separates_documents: bool,
) -> Iterator[TokenChunk]:
    """Yield the ids of all documents in order.

    Text that looks like a special token is encoded as text. Where `separates_documents` and the
    tokenizer has an end-of-sequence token, a document that does not end with it gets it.

    Raises:
        DataError: a character that the vocabulary lacks, in a tokenizer without an unknown token.
    """
    backend = plain_backend(tokenizer)
    dtype = id_dtype(count_ids(tokenizer))
    end = tokenizer.eos_token_id if separates_documents else None
    last_id = None
    for batch in _batches(documents):
        pieces = [piece for piece in batch if piece is not None]
        encoded = iter(_ids(backend, pieces))
        found = []
        for piece in batch:
            if piece is not None:
                ids = np.array(next(encoded), dtype=dtype)
                last_id = ids[-1] if len(ids) else last_id
            else:
                ids = np.array([] if end is None or last_id == end else [end], dtype=dtype)
                last_id = None
            found.append(ids)
        utf8_bytes = sum(len(piece.encode()) for piece in pieces)
        documents_ended = len(batch) - len(pieces)
        yield TokenChunk(np.concatenate(found), utf8_bytes, _words(pieces), documents_ended)


def _batches(documents: Iterable[Iterable[str]]) -> Iterator[list[str | None]]:
    """Yield pieces of text, None after the last of a document, enough at once for every core."""
    batch: list[str | None] = []
    characters = 0
    for document in documents:
        for piece in document:
            batch.append(piece)
            characters += len(piece)
            if characters >= CHARACTERS_AT_ONCE:
                yield batch
                batch, characters = [], 0
        batch.append(None)
    if batch:
        yield batch


def plain_backend(tokenizer: PreTrainedTokenizerFast) -> Tokenizer:
    """Return a copy of the tokenizer that encodes any text, of any length, as text."""
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.no_truncation()
    backend.no_padding()
    backend.encode_special_tokens = True
    return backend


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerFast) -> str:
    """Return the hex SHA-256 of everything that decides which ids a text gets."""
    content = f"{plain_backend(tokenizer).to_str()}\n{tokenizer.eos_token_id}"
    return hashlib.sha256(content.encode()).hexdigest()


def count_ids(tokenizer: PreTrainedTokenizerFast) -> int:
    """Return the highest id plus one, which exceeds the number of tokens where ids are skipped."""
    return max(tokenizer.get_vocab().values()) + 1


def id_dtype(vocab_size: int) -> np.dtype:
    """Return the smallest of uint16 and uint32 that holds every id."""
    return np.dtype(np.uint16 if vocab_size <= 1 << 16 else np.uint32)


def _ids(backend: Tokenizer, pieces: list[str]) -> Iterator[list[int]]:
    try:
        encodings = backend.encode_batch_fast(pieces, add_special_tokens=False)
    except Exception as error:  # tokenizers raises bare Exception for a missing unknown token
        vocab = backend.get_vocab()
        missing = sorted({c for piece in pieces for c in piece} - vocab.keys())
        raise DataError(
            f"The vocabulary of {len(vocab)} tokens has no unknown token and lacks the characters "
            f"{''.join(missing[:20])!r}, which the training split does not have. Add one with "
            "tokenizer.unknown=true."
        ) from error
    return (each.ids for each in encodings)


def _words(pieces: list[str]) -> int:
    return sum(len(piece.split()) + piece.count("\n") for piece in pieces)
