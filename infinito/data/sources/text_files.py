"""Text files of the user as a source."""

from __future__ import annotations

import codecs
import hashlib
import logging
import os
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from infinito.data.sources.source import SPLITS, Split, TextSource, digest
from infinito.data.sources.text_reading import (
    describe_skipped,
    find_line_end,
    find_text_files,
    hash_bytes,
    read_text,
)
from infinito.errors import ConfigError, DataError
from infinito.wording import format_path

log = logging.getLogger(__name__)


class Span(NamedTuple):
    """The bytes `start:stop` of a file, in bytes from its start."""

    path: Path
    start: int
    stop: int


class TextFiles(TextSource):
    """A UTF-8 file, the text files of a folder, or the files that a glob matches.

    Many files are split by file: each split takes the nearest whole number of files, chosen by the
    hash of the file's path relative to the folder of the search. Where that leaves a wanted split
    without a file (always so for one file), every file is instead cut into contiguous pieces,
    train | valid | test by bytes, each cut moved back to a line end. Copies of a file are dropped.

    Args:
        path: file, folder or glob.
        valid_fraction: share of the text for validation, in [0, 1).
        test_fraction: share of the text for the test split, in [0, 1).
        max_bytes: upper limit of the text of all splits together; whole files are dropped, in the
            order of their hash, or the stream of cut files is ended at a line end.

    Raises:
        ConfigError: fractions below 0, or that leave nothing to train on.
    """

    name = "text"

    def __init__(
        self,
        path: str | Path,
        *,
        valid_fraction: float = 0.1,
        test_fraction: float = 0.1,
        max_bytes: int | None = None,
    ) -> None:
        if min(valid_fraction, test_fraction) < 0 or valid_fraction + test_fraction >= 1:
            raise ConfigError(
                f"`data.valid_fraction`={valid_fraction} and `data.test_fraction`={test_fraction} "
                "must be at least 0 and add up to less than 1, e.g. data.valid_fraction=0.1."
            )
        self.path = path
        self.description = f"text of {format_path(path)}"
        self.fractions: dict[Split, float] = {
            "train": 1.0 - valid_fraction - test_fraction,
            "valid": valid_fraction,
            "test": test_fraction,
        }
        self.max_bytes = max_bytes
        self._hashes: dict[Split, list[str]] = {}

    @property
    def separates_documents(self) -> bool:  # type: ignore[override]
        """True for several files."""
        return len(self._files) > 1

    def documents(self, split: Split) -> Iterator[Iterable[str]]:
        for span in self._list_spans(split):
            yield read_text(*span)

    def fingerprint(self, split: Split) -> str:
        return digest(self.name, self.separates_documents, self._hash_spans(split))

    def file_hashes(self, split: Split) -> dict[str, str]:
        paths = [os.path.abspath(span.path) for span in self._list_spans(split)]
        return dict(zip(map(format_path, paths), self._hash_spans(split), strict=True))

    def _hash_spans(self, split: Split) -> list[str]:
        """Return the hash of each span, read once."""
        if split not in self._hashes:
            self._hashes[split] = [hash_bytes(*span) for span in self._list_spans(split)]
        return self._hashes[split]

    def utf8_bytes(self, split: Split) -> int:
        return sum(span.stop - span.start for span in self._list_spans(split))

    def _list_spans(self, split: Split) -> list[Span]:
        if self.fractions[split] <= 0:
            raise DataError(
                f"{self.description} has no {split} split, because data.{split}_fraction=0. Set "
                f"e.g. data.{split}_fraction=0.1, or trainer.limit_val_batches=0 to train without."
            )
        if spans := self._spans[split]:
            return spans
        raise DataError(
            f"The {split} split of {self.description} is empty: the text is too short for "
            f"{self.fractions[split]:.3g} of it to hold a line. Give more text with data.path, or "
            "change data.valid_fraction and data.test_fraction."
        )

    @cached_property
    def _files(self) -> list[Path]:
        found = find_text_files(self.path)
        empty = [path for path in found.files if _is_empty(path)]
        files = [path for path in found.files if path not in set(empty)]
        if not files:
            raise DataError(
                f"{describe_skipped([format_path(path) for path in empty], '')} "
                f"{'is' if len(empty) == 1 else 'are'} empty. Expected UTF-8 text; choose other "
                "files with data.path."
            )
        skipped = [*(f"{format_path(path)} (empty)" for path in empty), *found.skipped]
        if skipped:
            log.warning(
                "data.path=%s%s", format_path(self.path), describe_skipped(skipped, ": skipped ")
            )
        if len(found.files) == 1:
            return files
        unique = {hash_bytes(path): path for path in reversed(files)}
        return sorted(unique.values())

    @cached_property
    def _spans(self) -> dict[Split, list[Span]]:
        by_hash = sorted(self._files, key=self._hash_of_path)
        chosen = self._within_limit(by_hash)
        counts = {split: round(self.fractions[split] * len(chosen)) for split in SPLITS[1:]}
        if all(counts[split] or self.fractions[split] <= 0 for split in counts):
            bounds = counts["test"], counts["test"] + counts["valid"]
            groups = chosen[bounds[1] :], chosen[bounds[0] : bounds[1]], chosen[: bounds[0]]
            return {
                split: [Span(path, 0, path.stat().st_size) for path in sorted(group)]
                for split, group in zip(SPLITS, groups, strict=True)
            }
        return self._cut(self._files)

    def _hash_of_path(self, path: Path) -> str:
        folder = Path(self.path).expanduser()
        relative = path.relative_to(folder) if folder.is_dir() else path.name
        return hashlib.sha256(os.fsencode(relative)).hexdigest()

    def _within_limit(self, files: list[Path]) -> list[Path]:
        if self.max_bytes is None:
            return files
        total, chosen = 0, []
        for path in files:
            total += path.stat().st_size
            if total > self.max_bytes:
                break
            chosen.append(path)
        return chosen

    def _cut(self, files: list[Path]) -> dict[Split, list[Span]]:
        spans: dict[Split, list[Span]] = {split: [] for split in SPLITS}
        left = self.max_bytes
        for path in files:
            size = path.stat().st_size
            if left is not None:
                size = size if size <= left else find_line_end(path, left)
                left -= size
            start, share = 0, 0.0
            for split in SPLITS:
                share += self.fractions[split]
                wanted = size if split == "test" else round(size * min(share, 1.0))
                stop = wanted if wanted >= size else find_line_end(path, wanted, start)
                if stop > start and self.fractions[split] > 0:
                    spans[split].append(Span(path, start, stop))
                start = max(start, stop)
        return spans


def _is_empty(path: Path) -> bool:
    """Say whether a file holds nothing, or nothing but a byte order mark."""
    size = path.stat().st_size
    return size == 0 or (size == len(codecs.BOM_UTF8) and path.read_bytes() == codecs.BOM_UTF8)
