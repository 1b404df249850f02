"""Opens files of rows: JSON lines, JSON, Parquet, and datasets on disk or on the hub."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from infinito.data.conversations.rows.arrow import load_folder, load_from_hub, read_parquet
from infinito.data.conversations.rows.faults import RowFault
from infinito.data.conversations.rows.json_text import read_json, read_json_lines
from infinito.data.conversations.rows.kinds import RowKind
from infinito.errors import DataError
from infinito.hub import Wanted, names_a_folder
from infinito.wording import escape_controls

SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".parquet")


def read_rows(
    path: str,
    kind: RowKind,
    subset: str = "train",
    revision: str | None = None,
    key: str = "data.path",
) -> Iterator[dict[str, Any] | RowFault]:
    """Yield the rows of a file, a dataset's folder or a hub id; a fault for each unreadable row.

    Args:
        path: A .jsonl, .json (gzipped or not) or .parquet file, a folder that
            `datasets.save_to_disk` wrote, or a hub id (`owner/name`).
        kind: What the rows should be.
        subset: Which part of a dataset that has several; files have one and ignore it.
        revision: Branch, tag or commit of a hub id.
        key: The key of the configuration that names it.

    Raises:
        DataError: nothing is there, or it cannot be read.
        HubError: the hub id could not be reached.
    """
    _require_text(path, key)
    place = Path(path).expanduser()
    if place.is_file():
        rows = _read_file(place, kind, key)
    elif place.is_dir():
        rows = load_folder(place, subset, kind, key)
    elif names_a_folder(path) or path.endswith(SUFFIXES):
        raise DataError(
            f"`{key}`={path} does not exist. Expected a file ({', '.join(SUFFIXES)}), a folder "
            f"that `datasets` saved, or a hub id such as `{key}={kind.example}`"
        )
    else:
        what, local = f"{kind.name}s", f"<file or folder of {kind.name}s>"
        rows = load_from_hub(Wanted(path, revision, "dataset", what, key, local), subset, kind)
    for row in rows:
        yield row if isinstance(row, dict | RowFault) else _name_type(row, kind)


def _read_file(path: Path, kind: RowKind, key: str) -> Iterator[Any]:
    name = path.name.lower()
    if not name.endswith(SUFFIXES):
        raise DataError(
            f"`{key}`={path}: files of {kind.name}s end in {', '.join(SUFFIXES)}; rename or "
            "convert it"
        )
    try:
        if name.endswith(".parquet"):
            yield from read_parquet(path, kind, key)
        elif name.removesuffix(".gz").endswith(".jsonl"):
            yield from read_json_lines(path, kind)
        else:
            yield from read_json(path, kind)
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise DataError(f"`{key}`={path} cannot be read: {error}") from None


def _require_text(path: str, key: str) -> None:
    """Refuse a name that is not UTF-8: neither the report nor the screen could show it."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raise DataError(
            f"`{key}`={escape_controls(path)}: the name is not UTF-8. Rename the file or folder"
        ) from None


def _name_type(row: Any, kind: RowKind) -> RowFault:
    return RowFault(
        "not an object",
        f"is {type(row).__name__}, not an object",
        f"Expected keys {kind.keys}",
    )
