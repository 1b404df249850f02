"""A column of text of any data set: files, a folder that `datasets` saved, or an id of the hub."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from infinito.data.sources.data_files import BUILDERS, PUBLISHED, Part, Rows, open_files
from infinito.data.sources.source import SPLITS, Split, TextSource, digest
from infinito.data.sources.text_reading import cut_text
from infinito.errors import DataError
from infinito.hub import Wanted, explained, names_a_folder, open_data_set
from infinito.run_folder.progress import watched
from infinito.wording import format_path, suggest


@dataclass(frozen=True)
class HubRows(Rows):
    """A split that the hub sends while it is read."""

    wanted: Wanted

    def values(self, column: str, check: Callable[[Sequence[str]], None]) -> Iterator[Any]:
        with explained(self.wanted):
            yield from super().values(column, check)


class HubText(TextSource):
    """The rows of one column, each a document, read one after the other.

    Published validation and test splits are used where the data set has them. Where it has not,
    rows of the training split are set aside by the hash of their text, so that copies of a
    document are on one side.

    Args:
        path: .jsonl, .json, .parquet or .arrow file, folder of such files, folder that
            `datasets.save_to_disk` wrote, or hub id (`owner/name`).
        column: the column of text.
        split: the data set's split that trains.
        subset: the part of a hub data set that has several, such as a language.
        revision: branch, tag or commit of a hub data set.
        valid_fraction: share of the training rows that validates, where no split is published.
        test_fraction: share of the training rows for the test split, likewise.
        max_bytes: read rows of each published split up to this much text.
    """

    name = "hub"

    def __init__(
        self,
        path: str,
        *,
        column: str = "text",
        split: str = "train",
        subset: str | None = None,
        revision: str | None = None,
        valid_fraction: float = 0.1,
        test_fraction: float = 0.1,
        max_bytes: int | None = None,
    ) -> None:
        self.path, self.column, self.split = path, column, split
        self.subset, self.revision = subset, revision
        self.fractions: dict[Split, float] = {
            "train": 1.0 - valid_fraction - test_fraction,
            "valid": valid_fraction,
            "test": test_fraction,
        }
        self.max_bytes = max_bytes
        self.description = f"{column} of {format_path(path)}"
        self._opened: dict[str, Part] | None = None
        self._fingerprints: dict[Split, str] = {}
        self._sizes: dict[Split, int] = {}

    def documents(self, split: Split) -> Iterator[Iterable[str]]:
        empty = True
        for text in self._texts(split):
            empty = False
            yield cut_text(text)
        if empty:
            raise DataError(
                f"The {split} split of {self.description} has no text: no row of it is left. Use "
                f"another data.split, a larger data.{split}_fraction, or data.max_bytes=null."
            )

    def fingerprint(self, split: Split) -> str:
        if split not in self._fingerprints:
            self._read_through(split)
        return self._fingerprints[split]

    def utf8_bytes(self, split: Split) -> int | None:
        return self._sizes.get(split)

    def _read_through(self, split: Split) -> None:
        """Take fingerprint and size of a split, and of those that the same rows hold."""
        if split in self._published:
            sides = [split]
            sided: Iterator[tuple[Split, str]] = (
                (split, text) for text in self._rows(self._published[split])
            )
        else:
            kept = {side for side in SPLITS if self.fractions[side] > 0} - set(self._published)
            sides = [side for side in SPLITS if side in kept]
            sided = self._divided(split)
        contents = {side: hashlib.sha256() for side in sides}
        sizes = dict.fromkeys(contents, 0)
        what = f"reading {self.description}"
        for side, text in watched(sided, what, lambda each: len(each[1]), None, self.show):
            content = text.encode()
            contents[side].update(hashlib.sha256(content).digest())
            sizes[side] += len(content)
        self._sizes |= sizes
        self._fingerprints |= {
            side: digest(self.name, content.hexdigest()) for side, content in contents.items()
        }

    @cached_property
    def _published(self) -> dict[Split, str]:
        """Names of the published splits that validate and test, where the data set has them."""
        parts = self._parts()
        found = {
            side: next((name for name in names if name in parts), None)
            for side, names in PUBLISHED.items()
        }
        return {side: name for side, name in found.items() if name is not None}

    def _texts(self, split: Split) -> Iterator[str]:
        """Yield the rows of a split, published or set aside."""
        if split in self._published:
            yield from self._rows(self._published[split])
        else:
            yield from (text for side, text in self._divided(split) if side == split)

    def _divided(self, wanted: Split) -> Iterator[tuple[Split, str]]:
        """Yield each row of the training split with the split that the hash of its text gives.

        Raises:
            DataError: no rows are set aside for the split that is wanted.
        """
        shares = {
            side: 0.0 if side in self._published else self.fractions[side]
            for side in ("valid", "test")
        }
        if wanted != "train" and shares[wanted] <= 0:
            raise DataError(
                f"{self.description} publishes no {wanted} split (it has "
                f"{', '.join(self._parts())}), and data.{wanted}_fraction=0 sets none aside. Use "
                f"e.g. data.{wanted}_fraction=0.1."
            )
        for text in self._rows(self.split):
            place = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
            is_test, is_valid = place < shares["test"], place < shares["test"] + shares["valid"]
            yield "test" if is_test else "valid" if is_valid else "train", text

    def _rows(self, name: str) -> Iterator[str]:
        """Yield the texts of one published split, at most `max_bytes` of them."""
        parts = self._parts()
        if name not in parts:
            raise DataError(
                f"{format_path(self.path)} has no split {name}; it has {', '.join(parts)}: use "
                f"e.g. data.split={next(iter(parts))}."
            )
        total = 0
        for number, value in enumerate(self._read(parts[name]), start=1):
            text = self._read_text(value, number)
            total += len(text.encode())
            if self.max_bytes is not None and total > self.max_bytes:
                return
            if text:
                yield text

    def _read(self, part: Part) -> Iterator[Any]:
        """Yield the values of the column, some hundred rows in memory at a time."""
        try:
            yield from part.values(self.column, self._check_column)
        except (OSError, ValueError, TypeError, RuntimeError) as error:  # pyarrow's are ValueErrors
            raise self._unreadable(error) from error

    def _read_text(self, text: Any, number: int) -> str:
        if isinstance(text, str):
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise self._bad_row(
                    number, f"half a character (a lone surrogate) at {error.start}"
                ) from error
            return text
        raise self._bad_row(number, "null" if text is None else type(text).__name__)

    def _check_column(self, names: Sequence[str]) -> None:
        if self.column not in names:
            near = suggest(self.column, names)
            question = f": {near} Use" if near.startswith("did you mean") else ". Use"
            raise DataError(
                f"{format_path(self.path)} has no column {self.column}; it has "
                f"{', '.join(names)}{question} data.column=<name>."
            )

    def _bad_row(self, number: int, what: str) -> DataError:
        return DataError(
            f"Row {number} of column {self.column} of {format_path(self.path)} is {what}; expected "
            "text. Choose another column with data.column=<name>, or leave such rows out."
        )

    def _parts(self) -> dict[str, Part]:
        """Return the splits of the data set by name, none of them read yet."""
        if self._opened is None:
            place = Path(self.path).expanduser()
            try:
                if place.exists():
                    self._opened = open_files(place)
                elif names_a_folder(self.path) or place.suffix in BUILDERS:
                    raise DataError(
                        f"data.path={format_path(self.path)} does not exist. Expected a "
                        f"{', '.join(BUILDERS)} file, a folder, or a hub id such as "
                        "data.path=roneneldan/TinyStories."
                    )
                else:
                    self._opened = self._open_hub()
            except (OSError, ValueError, TypeError, RuntimeError) as error:
                raise self._unreadable(error) from error
        return self._opened

    def _open_hub(self) -> dict[str, Part]:
        wanted = Wanted(
            self.path, self.revision, "dataset", "data set", "data.path", "<file or folder>"
        )
        opened = open_data_set(wanted, self.subset, streaming=True)
        return {name: HubRows(part, wanted) for name, part in opened.items()}

    def _unreadable(self, error: Exception) -> DataError:
        cause = str(error.__cause__ or error).strip().splitlines()[0].rstrip(".")
        return DataError(f"{format_path(self.path)} cannot be read: {cause}. Check data.path.")
