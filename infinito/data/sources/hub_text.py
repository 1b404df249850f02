"""A column of text of any data set: files, a folder that `datasets` saved, or an id of the hub."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from infinito.data.sources.source import Split, TextSource, digest
from infinito.data.sources.text_reading import cut_text
from infinito.errors import DataError
from infinito.extras import require_extra
from infinito.hub import names_a_folder, require_hub, unreachable
from infinito.wording import format_path, suggest

BUILDERS = {".jsonl": "json", ".json": "json", ".parquet": "parquet", ".arrow": "arrow"}
"""What reads a file, by its suffix; a `.gz` after it is read too."""

PUBLISHED: dict[Split, tuple[str, ...]] = {
    "train": (),
    "valid": ("validation", "valid", "dev"),
    "test": ("test",),
}
"""Names under which data sets publish their splits; the training split has its own setting."""


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
        self._opened: dict[str, Any] | None = None
        self._fingerprints: dict[Split, str] = {}

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
            content = hashlib.sha256()
            for text in self._texts(split):
                content.update(hashlib.sha256(text.encode()).digest())
            self._fingerprints[split] = digest(self.name, content.hexdigest())
        return self._fingerprints[split]

    def _texts(self, split: Split) -> Iterator[str]:
        """Yield the rows of a split, published or set aside."""
        parts = self._parts()
        published = {
            side: next((name for name in PUBLISHED[side] if name in parts), None)
            for side in ("valid", "test")
        }
        name = self.split if split == "train" else published.get(split)
        if name is not None and split != "train":
            yield from self._rows(name)
            return
        shares = {
            side: 0.0 if published[side] is not None else self.fractions[side]
            for side in ("valid", "test")
        }
        if split != "train" and shares[split] <= 0:
            raise DataError(
                f"{self.description} publishes no {split} split (it has {', '.join(parts)}), and "
                f"data.{split}_fraction=0 sets none aside. Use e.g. data.{split}_fraction=0.1."
            )
        for text in self._rows(self.split):
            place = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
            is_test, is_valid = place < shares["test"], place < shares["test"] + shares["valid"]
            if split == ("test" if is_test else "valid" if is_valid else "train"):
                yield text

    def _rows(self, name: str) -> Iterator[str]:
        """Yield the texts of one published split, at most `max_bytes` of them."""
        parts = self._parts()
        if name not in parts:
            raise DataError(
                f"{format_path(self.path)} has no split {name}; it has {', '.join(parts)}: use "
                f"e.g. data.split={next(iter(parts))}."
            )
        total = 0
        for number, row in enumerate(self._read(parts[name]), start=1):
            text = self._text_of(row, number)
            total += len(text.encode())
            if self.max_bytes is not None and total > self.max_bytes:
                return
            if text:
                yield text

    def _read(self, part: Any) -> Iterator[Any]:
        columns = part.column_names
        if columns is not None:
            self._check_column(columns)
            part = part.select_columns([self.column])
        try:
            yield from part
        except (OSError, ValueError, TypeError, RuntimeError) as error:  # pyarrow's are ValueErrors
            raise self._unreadable(error) from error

    def _text_of(self, row: Any, number: int) -> str:
        self._check_column(row)
        text = row[self.column]
        if isinstance(text, str):
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise self._bad_row(
                    number, f"half a character (a lone surrogate) at {error.start}"
                ) from error
            return text
        raise self._bad_row(number, "null" if text is None else type(text).__name__)

    def _check_column(self, columns: Iterable[str]) -> None:
        names = list(columns)
        if self.column not in names:
            raise DataError(
                f"{format_path(self.path)} has no column {self.column}; it has "
                f"{', '.join(names)}: {suggest(self.column, names)} Use data.column=<name>."
            )

    def _bad_row(self, number: int, what: str) -> DataError:
        return DataError(
            f"Row {number} of column {self.column} of {format_path(self.path)} is {what}; expected "
            "text. Choose another column with data.column=<name>, or leave such rows out."
        )

    def _parts(self) -> dict[str, Any]:
        """Return the splits of the data set by name, none of them read yet."""
        if self._opened is None:
            place = Path(self.path).expanduser()
            try:
                if place.exists():
                    self._opened = _open_local(place, self.column)
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

    def _open_hub(self) -> dict[str, Any]:
        require_extra("datasets")
        import datasets

        wanted = f"data set {self.path}", "data.path=<file or folder>"
        require_hub(*wanted)
        try:
            return dict(
                datasets.load_dataset(
                    self.path, self.subset, revision=self.revision, streaming=True
                )
            )
        except Exception as error:  # the hub's many classes; each means that it did not come
            raise unreachable(*wanted, str(error).splitlines()[0]) from error

    def _unreadable(self, error: Exception) -> DataError:
        cause = str(error.__cause__ or error).strip().splitlines()[0]
        return DataError(f"{format_path(self.path)} cannot be read: {cause}. Check data.path.")


def _open_local(place: Path, column: str) -> dict[str, Any]:
    require_extra("datasets")
    import datasets

    if (place / "dataset_dict.json").is_file() or (place / "dataset_info.json").is_file():
        saved = datasets.load_from_disk(str(place))
        return dict(saved) if isinstance(saved, datasets.DatasetDict) else {"train": saved}
    files = sorted(place.rglob("*")) if place.is_dir() else [place]
    files = [file for file in files if file.is_file() and _builder_of(file)]
    builders = {_builder_of(file) for file in files}
    if len(builders) != 1:
        found = (
            "no file"
            if not builders
            else f"files of several kinds ({', '.join(map(str, builders))})"
        )
        raise DataError(
            f"data.path={format_path(place)} has {found} to read. Expected {', '.join(BUILDERS)} "
            "files of one kind, or a folder that `datasets.save_to_disk` wrote."
        )
    by_split: dict[str, list[str]] = {}
    for file in files:
        by_split.setdefault(_split_of(file), []).append(str(file))
    builder = str(builders.pop())
    options: dict[str, Any] = {}
    if builder == "parquet" and column in _columns_of(files[0]):
        options["columns"] = [column]  # what other columns hold may be damaged, and is not read
    return dict(datasets.load_dataset(builder, data_files=by_split, streaming=True, **options))


def _columns_of(file: Path) -> list[str]:
    require_extra("datasets")
    from pyarrow import parquet

    return list(parquet.read_schema(file).names)


def _builder_of(file: Path) -> str | None:
    suffixes = [suffix for suffix in file.suffixes if suffix != ".gz"]
    return BUILDERS.get(suffixes[-1].lower()) if suffixes else None


def _split_of(file: Path) -> str:
    """Return the split that a file's name begins with, as data sets name their files."""
    names = [name for side in PUBLISHED.values() for name in side]
    return next((name for name in names if file.name.lower().startswith(name)), "train")
