"""Reads rows from JSON text in bounded memory: one object a line, or one list of objects.

Bytes that are not UTF-8 become lone surrogates (`surrogateescape`) and not an error of the whole
file, so that the row which holds them is the only bad one; parsing finds them there.
"""

from __future__ import annotations

import codecs
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from infinito.data.conversations.rows.faults import RowFault
from infinito.data.conversations.rows.kinds import RowKind
from infinito.errors import DataError

LONGEST_LINE = 1 << 24
"""Characters of a row of JSON lines; a longer one is skipped unread."""

LARGEST_JSON = 1 << 27
"""Characters of a .json file, which is parsed as a whole: objects take a multiple of that."""

UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

LONGEST_INTEGER = 4300
"""Digits that Python converts (sys.int_info.default_max_str_digits)."""


def read_json_lines(path: Path, kind: RowKind) -> Iterator[Any]:
    """Yield the value of each line that is not blank, or a fault."""
    with _open_text(path) as file:
        while line := file.readline(LONGEST_LINE + 1):
            if len(line) > LONGEST_LINE:
                _skip_line(file, line)
                yield RowFault(
                    "row too long",
                    f"has more than {LONGEST_LINE:,} characters",
                    f"No window holds such a {kind.name}: shorten it or leave it out",
                )
            elif line.strip():
                yield _parse_line(line)


def read_json(path: Path, kind: RowKind) -> Iterator[Any]:
    """Yield the members of a list, or of the only list among an object's values.

    Raises:
        DataError: the file is no such JSON, or larger than `LARGEST_JSON`.
    """
    with _open_text(path) as file:
        text = file.read(LARGEST_JSON + 1)
    if len(text) > LARGEST_JSON:
        raise DataError(
            f"`data.path`={path} has more than {LARGEST_JSON:,} characters, and a .json file is "
            "read as a whole. Write larger sets as .jsonl files, one object a line, e.g. "
            f"`jq -c '.[]' {path.name} > {path.name.split('.')[0]}.jsonl`"
        )
    try:
        values = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"`data.path`={path} is not JSON: {error}. One object a line is a .jsonl file."
        ) from None
    except RecursionError:
        raise DataError(
            f"`data.path`={path} is nested too deeply. In a .jsonl file, one object a line, "
            "`data.on_bad_row=drop` can leave such a row out"
        ) from None
    if isinstance(values, dict):
        lists = [each for each in values.values() if isinstance(each, list)]
        values = lists[0] if len(lists) == 1 else values
    if not isinstance(values, list):
        raise DataError(f"`data.path`={path}: expected a list of objects with {kind.keys}")
    yield from values


def _open_text(path: Path) -> TextIO:
    opener: Any = gzip.open if path.name.lower().endswith(".gz") else open
    with opener(path, "rb") as file:
        if file.read(2) in UTF_16_MARKS:
            raise DataError(
                f"`data.path`={path} cannot be read: it is UTF-16. Convert it, e.g. "
                f"`iconv -f utf-16 -t utf-8 {path.name} > utf8_{path.name}`"
            )
    opened: TextIO = opener(path, "rt", encoding="utf-8-sig", errors="surrogateescape")
    return opened


def _skip_line(file: TextIO, line: str) -> None:
    while line and not line.endswith("\n"):
        line = file.readline(LONGEST_LINE)


def _parse_line(line: str) -> Any:
    try:
        return _DECODER.decode(line)
    except json.JSONDecodeError as error:
        return RowFault(
            "not JSON",
            f"is not JSON ({error.msg} at column {error.colno})",
            "Write one object a line",
        )
    except RecursionError:
        return nested_too_deeply()


def nested_too_deeply() -> RowFault:
    """Return the fault of a row whose lists and objects Python cannot follow down."""
    return RowFault("nested too deeply", "is nested too deeply", "Leave the row out")


def _parse_integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= LONGEST_INTEGER else float(digits)


_DECODER = json.JSONDecoder(parse_int=_parse_integer)
