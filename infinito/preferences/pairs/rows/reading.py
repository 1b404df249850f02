"""Opens preference files: JSON lines, JSON, Parquet, and datasets on disk or on the hub."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from infinito.errors import DataError
from infinito.hub import Wanted, names_a_folder
from infinito.preferences.pairs.rows.arrow import load_folder, load_from_hub, read_parquet
from infinito.preferences.pairs.rows.faults import RowFault
from infinito.preferences.pairs.rows.json_text import read_json, read_json_lines
from infinito.wording import escape_controls

SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".parquet")


def read_rows(
    path: str, subset: str = "train", revision: str | None = None, key: str = "data.path"
) -> Iterator[dict[str, Any] | RowFault]:
    """Yield the rows of a file, a dataset's folder or a hub id; a fault for each unreadable row.

    Args:
        path: A .jsonl, .json (gzipped or not) or .parquet file, a folder that
            `datasets.save_to_disk` wrote, or a hub id (`owner/name`).
        subset: Which part of a dataset that has several; files have one and ignore it.
        revision: Branch, tag or commit of a hub id.
        key: The key of the configuration that names it.

    Raises:
        DataError: nothing is there, or it cannot be read.
        HubError: the hub id could not be reached.
    """
    _require_text(path)
    place = Path(path).expanduser()
    if place.is_file():
        rows = _read_file(place)
    elif place.is_dir():
        rows = load_folder(place, subset)
    elif names_a_folder(path) or path.endswith(SUFFIXES):
        raise DataError(
            f"`data.path`={path} does not exist. Expected a file ({', '.join(SUFFIXES)}), a folder "
            "that `datasets` saved, or a hub id such as `data.path=trl-lib/ultrafeedback_binarized`"
        )
    else:
        local = "<file or folder of pairs>"
        wanted = Wanted(path, revision, "dataset", "preference pairs", key, local)
        rows = load_from_hub(wanted, subset)
    for row in rows:
        yield row if isinstance(row, dict | RowFault) else _name_type(row)


def _read_file(path: Path) -> Iterator[Any]:
    name = path.name.lower()
    if not name.endswith(SUFFIXES):
        raise DataError(
            f"`data.path`={path}: files of pairs end in {', '.join(SUFFIXES)}; rename or convert it"
        )
    try:
        if name.endswith(".parquet"):
            yield from read_parquet(path)
        elif name.removesuffix(".gz").endswith(".jsonl"):
            yield from read_json_lines(path)
        else:
            yield from read_json(path)
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise DataError(f"`data.path`={path} cannot be read: {error}") from None


def _require_text(path: str) -> None:
    """Refuse a name that is not UTF-8: neither the report nor the screen could show it."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raise DataError(
            f"`data.path`={escape_controls(path)}: the name is not UTF-8. Rename the file or folder"
        ) from None


def _name_type(row: Any) -> RowFault:
    return RowFault(
        "not an object",
        f"is {type(row).__name__}, not an object",
        "Expected keys prompt, chosen and rejected",
    )
