"""Data sets on disk: each split as tables with a column of text, none of them read yet."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from infinito.data.sources.source import Split
from infinito.errors import DataError
from infinito.extras import require_extra
from infinito.wording import format_path

BUILDERS = {
    ".jsonl": "json",
    ".json": "json",
    ".csv": "csv",
    ".parquet": "parquet",
    ".arrow": "arrow",
}
"""What reads a file, by its suffix; a `.gz` after it is read too."""

ROWS_AT_ONCE = 256
"""Rows in memory at a time, where the format of a file allows it."""

LARGEST_CELL = 1 << 24
"""Bytes of a row of comma-separated values at most: as many are read at a time."""

PUBLISHED: dict[Split, tuple[str, ...]] = {
    "train": (),
    "valid": ("validation", "valid", "dev"),
    "test": ("test",),
}
"""Names under which data sets publish their splits; the training split has its own setting."""


class Part(Protocol):
    """One split of a data set."""

    def values(self, column: str, check: Callable[[Sequence[str]], None]) -> Iterator[Any]:
        """Yield the values of a column.

        Args:
            column: Its name.
            check: Raises where the column is not among the names that it gets.
        """


@dataclass(frozen=True)
class Rows:
    """A split that `datasets` opened, in memory, on disk or from the hub."""

    opened: Any

    def values(self, column: str, check: Callable[[Sequence[str]], None]) -> Iterator[Any]:
        opened = self.opened
        if (columns := opened.column_names) is not None:
            check(columns)
            opened = opened.select_columns([column])
        for table in opened.with_format("arrow").iter(batch_size=ROWS_AT_ONCE):
            check(table.column_names)
            yield from table[column].to_pylist()


@dataclass(frozen=True)
class ParquetFiles:
    """A split in Parquet files, read page by page.

    `datasets` reads a row group at a time, which is a whole file as many programs write them. What
    other columns hold may be damaged, and is not read.
    """

    paths: Sequence[Path]

    def values(self, column: str, check: Callable[[Sequence[str]], None]) -> Iterator[Any]:
        from pyarrow import parquet

        for path in self.paths:
            with parquet.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
                check(file.schema_arrow.names)
                for batch in file.iter_batches(ROWS_AT_ONCE, columns=[column]):
                    yield from batch.column(0).to_pylist()


@dataclass(frozen=True)
class Tables:
    """A split in files of comma-separated values, whose cells are text whatever they look like.

    `datasets` would make numbers of a column that has nothing else, nulls of "NA" and "nan", and
    of a row with too many cells a row of others.
    """

    paths: Sequence[Path]

    def values(self, column: str, check: Callable[[Sequence[str]], None]) -> Iterator[Any]:
        from pyarrow import csv, string

        for path in self.paths:
            reading = csv.ReadOptions(block_size=LARGEST_CELL)
            parsing = csv.ParseOptions(newlines_in_values=True)
            with csv.open_csv(path, reading, parsing) as table:
                check(table.schema.names)
            converting = csv.ConvertOptions(
                include_columns=[column], column_types={column: string()}, strings_can_be_null=False
            )
            with csv.open_csv(path, reading, parsing, converting) as table:
                for batch in table:
                    yield from batch.column(0).to_pylist()


def open_files(place: Path) -> dict[str, Part]:
    """Return the splits of a file, of a folder of files, or of what `save_to_disk` wrote, by name.

    Raises:
        DataError: it holds no files of one kind.
    """
    require_extra("datasets")
    import datasets

    datasets.logging.set_verbosity(logging.CRITICAL)  # it would print what it raises
    if (place / "dataset_dict.json").is_file() or (place / "dataset_info.json").is_file():
        saved = datasets.load_from_disk(str(place))
        parts = dict(saved) if isinstance(saved, datasets.DatasetDict) else {"train": saved}
        return {name: Rows(part) for name, part in parts.items()}
    files = sorted(place.rglob("*")) if place.is_dir() else [place]
    files = [file for file in files if file.is_file() and _find_builder(file)]
    builders = {_find_builder(file) for file in files}
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
    by_split: dict[str, list[Path]] = {}
    for file in files:
        by_split.setdefault(_find_split(file), []).append(file)
    builder = str(builders.pop())
    if builder == "parquet":
        return {name: ParquetFiles(paths) for name, paths in by_split.items()}
    if builder == "csv":
        return {name: Tables(paths) for name, paths in by_split.items()}
    named = {name: list(map(str, paths)) for name, paths in by_split.items()}
    opened = datasets.load_dataset(builder, data_files=named, streaming=True)
    return {name: Rows(part) for name, part in opened.items()}


def holds_rows(place: Path) -> bool:
    """Return whether a path is a file that has columns, or a folder of such files."""
    files = place.rglob("*") if place.is_dir() else [place]
    return any(_find_builder(file) for file in files)


def _find_builder(file: Path) -> str | None:
    suffixes = [suffix for suffix in file.suffixes if suffix != ".gz"]
    return BUILDERS.get(suffixes[-1].lower()) if suffixes else None


def _find_split(file: Path) -> str:
    """Return the split that a file's name begins with, as data sets name their files."""
    names = [name for side in PUBLISHED.values() for name in side]
    return next((name for name in names if file.name.lower().startswith(name)), "train")
