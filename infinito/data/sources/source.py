"""The interface of every text source."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from infinito.run_folder.progress import Show

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")


class TextSource(ABC):
    """Text in three disjoint splits, each a fixed sequence of documents read lazily.

    Attributes:
        name: the name that `data=` selects.
        description: one line on what the text is.
        licence: the licence of the text, None where only the user can know.
        separates_documents: whether an end-of-document token belongs between documents. False for
            one continuous stream.
        show: receives the progress of a long reading; None shows nothing.
    """

    name: str
    description: str
    licence: str | None = None
    separates_documents: bool = True
    show: Show | None = None

    @abstractmethod
    def documents(self, split: Split) -> Iterator[Iterable[str]]:
        """Yield each document as its consecutive pieces of text, none longer than a few pages.

        Raises:
            DataError: the split is absent or empty, or its text cannot be read.
        """

    @abstractmethod
    def fingerprint(self, split: Split) -> str:
        """Return the hex SHA-256 of the split's content and of the options that shaped it."""

    def file_hashes(self, split: Split) -> dict[str, str]:  # noqa: ARG002
        """Return the hex SHA-256 of what a split reads of each file of the user's, by path."""
        return {}

    def utf8_bytes(self, split: Split) -> int | None:  # noqa: ARG002
        """Return the bytes of a split, where they are known without reading it again."""
        return None

    def pieces(self, split: Split) -> Iterator[str]:
        """Yield the pieces of all documents of the split in order."""
        for document in self.documents(split):
            yield from document


def digest(*parts: Any) -> str:
    """Return the hex SHA-256 of JSON-serialisable parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
