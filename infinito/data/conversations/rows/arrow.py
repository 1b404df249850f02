"""Reads rows from Parquet files and from datasets, and of their columns only those of their kind.

A column that nobody needs is not decoded: a time zone, a picture or a broken value in it does not
matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

from infinito.data.conversations.rows.faults import RowFault
from infinito.data.conversations.rows.kinds import RowKind
from infinito.errors import DataError
from infinito.extras import require_extra
from infinito.hub import Wanted, explained, open_data_set

ROWS_AT_ONCE = 1024


def read_parquet(path: Path, kind: RowKind, key: str = "data.path") -> Iterator[Any]:
    """Yield the rows of a file, a fault for each that cannot be decoded.

    Raises:
        DataError: the file is not Parquet.
    """
    require_extra("datasets")
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            columns = _choose_columns(file.schema_arrow.names, kind)
            if isinstance(columns, RowFault):
                yield from repeat(columns, file.metadata.num_rows)
                return
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=columns):
                yield from _decode_rows(batch)
    except pa.ArrowException as error:
        raise DataError(f"`{key}`={path} is not Parquet: {error}") from None


def load_folder(folder: Path, subset: str, kind: RowKind, key: str = "data.path") -> Iterator[Any]:
    """Yield the rows of a dataset that `datasets.save_to_disk` wrote.

    Raises:
        DataError: the folder is no dataset, or lacks the subset.
    """
    require_extra("datasets")
    import datasets

    try:
        found = datasets.load_from_disk(str(folder))
    except (FileNotFoundError, ValueError) as error:
        raise DataError(
            f"`{key}`={folder} is no dataset that `datasets.save_to_disk` wrote: {error}"
        ) from None
    if isinstance(found, datasets.DatasetDict):
        found = _choose_subset(str(folder), found, subset, key)
    yield from _read_dataset(found, kind)


def load_from_hub(wanted: Wanted, subset: str, kind: RowKind) -> Iterator[Any]:
    """Yield the rows of a dataset of the hub.

    Raises:
        DataError: it lacks the subset.
        HubError: the hub could not give it.
    """
    found = open_data_set(wanted)
    with explained(wanted):
        yield from _read_dataset(_choose_subset(wanted.name, found, subset, wanted.key), kind)


def _read_dataset(found: Any, kind: RowKind) -> Iterator[Any]:
    columns = _choose_columns(found.column_names, kind)
    if isinstance(columns, RowFault):
        yield from repeat(columns, len(found))
        return
    arrow = found.select_columns(columns).with_format("arrow")
    for batch in arrow.iter(ROWS_AT_ONCE):
        yield from _decode_rows(batch)


def _choose_columns(names: Sequence[str], kind: RowKind) -> list[str] | RowFault:
    return kind.lacks_columns(names) or [name for name in names if name in kind.columns]


def _decode_rows(batch: Any) -> Iterator[Any]:
    try:
        rows = batch.to_pylist()
    except (ValueError, OverflowError, LookupError):  # one value of a batch fails all its rows
        rows = [_decode_row(batch, number) for number in range(batch.num_rows)]
    for row in rows:
        yield row if isinstance(row, RowFault) else _drop_nulls(row)


def _decode_row(batch: Any, number: int) -> Any:
    try:
        return batch.slice(number, 1).to_pylist()[0]
    except (ValueError, OverflowError, LookupError) as error:
        return RowFault(
            "unreadable value",
            f"has a value that cannot be read: {error}",
            "Mend the value or leave the row out",
        )


def _drop_nulls(row: dict[str, Any]) -> dict[str, Any]:
    """Remove the keys that Arrow adds to an object because objects of other rows have them."""
    return {name: _without_null_keys(value) for name, value in row.items()}


def _without_null_keys(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_null_keys(each) for each in value]
    if isinstance(value, dict):
        return {k: _without_null_keys(each) for k, each in value.items() if each is not None}
    return value


def _choose_subset(path: str, found: Any, subset: str, key: str) -> Any:
    if subset in found:
        return found[subset]
    known = list(found)
    raise DataError(
        f"`{key}`={path} has no part {subset}; it has {', '.join(known)}: "
        f"use e.g. `{key.replace('path', 'subset')}={known[0]}`"
    )
