"""Several texts of the user's, each with its share of the training text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from infinito.data.sources.source import Split, TextSource, digest
from infinito.errors import DataError

MOST_PASSES = 100
"""Over one text in one epoch; the tokens of every pass are written to the cache."""


class MixedText(TextSource):
    """Texts one after the other, the small ones repeated until each has its share of the bytes.

    The training split reads every text at least once: the text that is largest for its weight
    once, each other as often as its weight asks, the last time up to the page that completes its
    share. Windows are shuffled afterwards, so the order of the texts does not matter. The
    validation and test splits read each document once, whatever its weight.

    Args:
        texts: the texts that are mixed.
        weights: the shares of the training text, in any unit, one for each text; None for as much
            as each holds.
    """

    name = "mixture"

    def __init__(self, texts: Sequence[TextSource], weights: Sequence[float] | None = None) -> None:
        self.texts = tuple(texts)
        self.weights = None if weights is None else tuple(weights)
        self.description = " and ".join(text.description for text in texts)
        if weights is not None:
            shares = [f"{weight / sum(weights):.0%}" for weight in weights]
            self.description += f", mixed {' : '.join(shares)}"

    def documents(self, split: Split) -> Iterator[Iterable[str]]:
        with _naming_the_list():
            if split != "train":
                for text in self.texts:
                    yield from text.documents(split)
                return
            for text, size in zip(self.texts, self._shares(), strict=True):
                yield from _repeat(text, size)

    def fingerprint(self, split: Split) -> str:
        with _naming_the_list():
            for text in self.texts:
                text.show = self.show
            found = [text.fingerprint(split) for text in self.texts]
            return digest(self.name, found, self.count_passes() if split == "train" else None)

    def file_hashes(self, split: Split) -> dict[str, str]:
        with _naming_the_list():
            found = (text.file_hashes(split) for text in self.texts)
            return {path: each for files in found for path, each in files.items()}

    def utf8_bytes(self, split: Split) -> int | None:
        return sum(self._shares()) if split == "train" else sum(self._sizes(split))

    def count_passes(self) -> list[float]:
        """Return how often an epoch reads each text.

        Raises:
            DataError: one would be read more than `MOST_PASSES` times.
        """
        if self.weights is None:
            return [1.0] * len(self.texts)
        sizes = self._sizes("train")
        once = max(size / weight for size, weight in zip(sizes, self.weights, strict=True))
        passes = [weight * once / size for size, weight in zip(sizes, self.weights, strict=True)]
        for text, count in zip(self.texts, passes, strict=True):
            if count > MOST_PASSES:
                raise DataError(
                    f"A share this large reads {text.description} {count:,.0f} times in an epoch; "
                    f"expected at most {MOST_PASSES} times. Give it a smaller weight in "
                    "data.weights, more text, or the other texts less with data.max_bytes."
                )
        return passes

    def _shares(self) -> list[int]:
        """Return the bytes that the training split reads of each text, repeats counted."""
        return [
            round(size * count)
            for size, count in zip(self._sizes("train"), self.count_passes(), strict=True)
        ]

    def _sizes(self, split: Split) -> list[int]:
        return [_measure(text, split) for text in self.texts]


def _measure(text: TextSource, split: Split) -> int:
    """Return the bytes of a split, which taking the fingerprint counts where it was not counted."""
    text.fingerprint(split)
    size = text.utf8_bytes(split)
    if size is None:
        size = sum(len(piece.encode()) for piece in text.pieces(split))
    return size


def _repeat(text: TextSource, size: int) -> Iterator[Iterable[str]]:
    """Yield the documents, from the first one again after the last, until they hold `size`."""
    left = Left(size)
    while left.utf8_bytes > 0:
        for document in text.documents("train"):
            yield left.take(document)
            if left.utf8_bytes <= 0:
                return


@contextmanager
def _naming_the_list() -> Iterator[None]:
    """Name the key of a mixture in what a text of it says about its own."""
    try:
        yield
    except DataError as error:
        raise DataError(str(error).replace("data.path", "data.paths")) from error


@dataclass
class Left:
    """Bytes that a text still has to give."""

    utf8_bytes: int

    def take(self, document: Iterable[str]) -> Iterator[str]:
        """Yield the pieces of a document up to the one that completes the share."""
        for piece in document:
            yield piece
            self.utf8_bytes -= len(piece.encode())
            if self.utf8_bytes <= 0:
                return
