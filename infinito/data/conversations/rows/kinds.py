"""What a reader of rows must know about the rows that a file should hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from infinito.data.conversations.rows.faults import RowFault


@dataclass(frozen=True)
class RowKind:
    """A kind of row: a preference pair, or a conversation."""

    name: str
    """What it is called, in the singular, for messages."""
    columns: frozenset[str]
    """All columns that are read."""
    lacks_columns: Callable[[Iterable[Any]], RowFault | None]
    """Returns the fault of a row that has these columns only, if it has one."""
    keys: str
    """Which keys a row has, for messages."""
    example: str
    """A hub id of such rows, for messages."""
