"""Rows of preference files: JSON lines, JSON, Parquet, and datasets on disk or on the hub."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from infinito.errors import DataError
from infinito.extras import require_extra
from infinito.hub import names_a_folder, require_hub, unreachable
from infinito.preferences.pairs.text_pair import RowFault

SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".parquet")


def read_rows(path: str, subset: str = "train") -> Iterator[dict[str, Any] | RowFault]:
    """Yields the rows of a file, a dataset's folder or a hub id; a fault where a row is no object.

    Args:
        path: A .jsonl, .json (gzipped or not) or .parquet file, a folder that
            `datasets.save_to_disk` wrote, or a hub id (`owner/name`).
        subset: Which part of a dataset that has several; files have one and ignore it.

    Raises:
        DataError: nothing is there, or it cannot be read.
        HubError: the hub id could not be reached.
    """
    place = Path(path).expanduser()
    if place.is_file():
        rows = _rows_of_file(place)
    elif place.is_dir():
        rows = iter(_rows_of_folder(place, subset))
    elif names_a_folder(path) or path.endswith(SUFFIXES):
        raise DataError(
            f"`data.path`={path} does not exist. Expected a file ({', '.join(SUFFIXES)}), a folder "
            "that `datasets` saved, or a hub id such as `data.path=trl-lib/ultrafeedback_binarized`"
        )
    else:
        rows = iter(_rows_of_hub(path, subset))
    for row in rows:
        yield row if isinstance(row, dict | RowFault) else _no_object(row)


def _rows_of_file(path: Path) -> Iterator[Any]:
    name = path.name.lower()
    if not name.endswith(SUFFIXES):
        raise DataError(
            f"`data.path`={path}: files of pairs end in {', '.join(SUFFIXES)}; rename or convert it"
        )
    try:
        if name.endswith(".parquet"):
            yield from _rows_of_parquet(path)
        elif name.removesuffix(".gz").endswith(".jsonl"):
            yield from _rows_of_lines(path)
        else:
            yield from _rows_of_json(path)
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise DataError(f"`data.path`={path} cannot be read: {error}") from None


def _text(path: Path) -> Any:
    opened = gzip.open if path.name.lower().endswith(".gz") else open
    return opened(path, "rt", encoding="utf-8-sig")


def _rows_of_lines(path: Path) -> Iterator[Any]:
    with _text(path) as file:
        for line in file:
            if not line.strip():
                continue
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                yield RowFault(
                    "not JSON",
                    f"is not JSON ({error.msg} at column {error.colno})",
                    "Write one object a line",
                )


def _rows_of_json(path: Path) -> Iterator[Any]:
    with _text(path) as file:
        try:
            values = json.load(file)
        except json.JSONDecodeError as error:
            raise DataError(
                f"`data.path`={path} is not JSON: {error}. One object a line is a .jsonl file."
            ) from None
    if isinstance(values, dict):
        lists = [each for each in values.values() if isinstance(each, list)]
        values = lists[0] if len(lists) == 1 else values
    if not isinstance(values, list):
        raise DataError(f"`data.path`={path}: expected a list of objects with prompt, chosen, …")
    yield from values


def _rows_of_parquet(path: Path) -> Iterator[Any]:
    require_extra("datasets")
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(1024):
                yield from batch.to_pylist()
    except pa.ArrowInvalid as error:
        raise DataError(f"`data.path`={path} is not Parquet: {error}") from None


def _rows_of_folder(folder: Path, subset: str) -> Any:
    require_extra("datasets")
    import datasets

    try:
        found = datasets.load_from_disk(str(folder))
    except (FileNotFoundError, ValueError) as error:
        raise DataError(
            f"`data.path`={folder} is no dataset that `datasets.save_to_disk` wrote: {error}"
        ) from None
    if not isinstance(found, datasets.DatasetDict):
        return found
    if subset not in found:
        raise _no_subset(str(folder), subset, list(found))
    return found[subset]


def _rows_of_hub(name: str, subset: str) -> Any:
    require_extra("datasets")
    import datasets

    wanted = f"preference pairs {name}", "data.path=<file or folder of pairs>"
    require_hub(*wanted)
    try:
        found = datasets.load_dataset(name)
    except (OSError, ValueError) as error:
        raise unreachable(*wanted, str(error).splitlines()[0]) from error
    if subset not in found:
        raise _no_subset(name, subset, list(found))
    return found[subset]


def _no_subset(path: str, subset: str, known: list[str]) -> DataError:
    return DataError(
        f"`data.path`={path} has no part {subset}; it has {', '.join(known)}: "
        f"use e.g. `data.subset={known[0]}`"
    )


def _no_object(row: Any) -> RowFault:
    return RowFault(
        "not an object",
        f"is {type(row).__name__}, not an object",
        "Expected keys prompt, chosen and rejected",
    )
