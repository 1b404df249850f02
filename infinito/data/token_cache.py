"""Tokenised splits and trained tokenizers on disk, keyed by content and shared between runs."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from infinito.data.encoding import TokenChunk
from infinito.data.tokenizers.spec import wrapped
from infinito.storage import locked, sha256_of_file, written_whole

FORMAT_VERSION = 2

log = logging.getLogger(__name__)

Found = TypeVar("Found")


@dataclass(frozen=True)
class SplitMeta:
    """What a tokenised split holds.

    Attributes:
        tokens: token ids, end-of-document tokens counted.
        utf8_bytes: bytes of its text; bits per byte = nats/token · tokens / utf8_bytes / ln 2.
        words: words by white space, plus line ends (the `<eos>` of word-level perplexity).
        documents: documents, 0 for a source without.
        dtype: of the ids on disk, "uint16" or "uint32".
        sha256: of the ids on disk.
    """

    tokens: int
    utf8_bytes: int
    words: int
    documents: int
    dtype: str
    sha256: str


@dataclass(frozen=True)
class TokenFile:
    """The ids of a split, one after the other in `path`, and what they are."""

    path: Path
    meta: SplitMeta


class TokenCache:
    """A folder of token files and tokenizers that several processes may use at once.

    A file is written under a lock, beside its place, and moved there whole; whoever waited for the
    lock uses what the first one wrote. Every opening checks size and checksum; what fails is
    written again.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser()

    def tokens(
        self, key: str, dtype: np.dtype, chunks: Callable[[], Iterable[TokenChunk]]
    ) -> TokenFile:
        """Return the token file of `key`, written from `chunks()` unless a sound one is there.

        Raises:
            SaveError: the file cannot be written.
        """
        target = self.folder / "tokens" / f"{key}-v{FORMAT_VERSION}.ids"
        return _read_or_write(
            target, lambda: _sound_tokens(target), lambda: _write_tokens(target, dtype, chunks())
        )

    def tokenizer(
        self, key: str, train: Callable[[], PreTrainedTokenizerFast]
    ) -> PreTrainedTokenizerFast:
        """Return the tokenizer of `key`, trained by `train()` unless a sound one is there.

        Raises:
            SaveError: the file cannot be written.
        """
        target = self.folder / "tokenizers" / f"{key}-v{FORMAT_VERSION}.json"
        return _read_or_write(
            target, lambda: _sound_tokenizer(target), lambda: _write_tokenizer(target, train())
        )


def _read_or_write(
    target: Path, read: Callable[[], Found | None], write: Callable[[], None]
) -> Found:
    """Return what `read` finds at `target`; `write` makes it, in one process at a time."""
    if (found := read()) is not None:
        return found
    with locked(target):
        if (found := read()) is None:
            if target.exists():
                log.warning("%s is damaged and is written again", target)
            write()
            found = read()
    assert found is not None, f"{target} cannot be read back"
    return found


def _sound_tokens(path: Path) -> TokenFile | None:
    try:
        meta = SplitMeta(**json.loads(path.with_suffix(".json").read_bytes()))
        size = meta.tokens * np.dtype(meta.dtype).itemsize
        if path.stat().st_size == size and sha256_of_file(path) == meta.sha256:
            return TokenFile(path, meta)
    except (OSError, ValueError, TypeError):  # absent, or no description of a token file
        pass
    return None


def _write_tokens(path: Path, dtype: np.dtype, chunks: Iterable[TokenChunk]) -> None:
    checksum = hashlib.sha256()
    tokens = utf8_bytes = words = documents = 0
    with written_whole(path) as file:
        for chunk in chunks:
            content = chunk.ids.astype(dtype, copy=False).tobytes()
            file.write(content)
            checksum.update(content)
            tokens += len(chunk.ids)
            utf8_bytes += chunk.utf8_bytes
            words += chunk.words
            documents += chunk.documents
    meta = SplitMeta(tokens, utf8_bytes, words, documents, dtype.name, checksum.hexdigest())
    with written_whole(path.with_suffix(".json")) as file:
        file.write(json.dumps(asdict(meta)).encode())


def _sound_tokenizer(path: Path) -> PreTrainedTokenizerFast | None:
    try:
        stored = json.loads(path.read_bytes())
        backend = stored["backend"]
        if hashlib.sha256(backend.encode()).hexdigest() == stored["sha256"]:
            return wrapped(Tokenizer.from_str(backend), **stored["special_tokens"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # absent or damaged
        pass
    return None


def _write_tokenizer(path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    backend = tokenizer.backend_tokenizer.to_str()
    stored: dict[str, Any] = {
        "sha256": hashlib.sha256(backend.encode()).hexdigest(),
        "special_tokens": {name: str(t) for name, t in tokenizer.special_tokens_map.items()},
        "backend": backend,
    }
    with written_whole(path) as file:
        file.write(json.dumps(stored).encode())
