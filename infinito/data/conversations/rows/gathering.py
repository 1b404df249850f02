"""Gathers the usable rows of a file and the faults of others, and holds out a share of prompts.

Conversations and preference pairs alike: what a row becomes is for a function to say.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, Protocol, TypeVar

from infinito.data.conversations.rows.faults import BadRow, RowFault
from infinito.data.conversations.rows.kinds import RowKind
from infinito.data.conversations.rows.reading import read_rows
from infinito.errors import DataError

Parsed = TypeVar("Parsed")
Made = TypeVar("Made")


class Numbered(Protocol):
    """Something that was made of a row."""

    @property
    def row(self) -> int:
        """The row's number in its file."""


Row = TypeVar("Row", bound=Numbered)


def gather_rows(
    path: str,
    kind: RowKind,
    parse: Callable[[dict[str, Any], int], Parsed],
    subset: str,
    limit: int | None,
    revision: str | None,
    key: str,
) -> tuple[list[Parsed], list[BadRow]]:
    """Return the parsed rows of a file, dataset or hub id, and those that cannot be parsed.

    Args:
        path: See `read_rows`.
        kind: See `read_rows`.
        parse: Returns what a row with a number holds, or raises RowFault.
        subset: See `read_rows`.
        limit: Most rows to read, from the first on.
        revision: See `read_rows`.
        key: See `read_rows`.
    """
    found: list[Parsed] = []
    bad: list[BadRow] = []
    for number, row in enumerate(islice(read_rows(path, kind, subset, revision, key), limit)):
        try:
            if isinstance(row, RowFault):
                raise row
            found.append(parse(row, number))
        except RowFault as fault:
            bad.append(BadRow.from_fault(number, fault))
    return found, bad


def gather_made(
    rows: Iterable[Row], make: Callable[[Row], Made], bad: Sequence[BadRow]
) -> tuple[list[Made], list[BadRow]]:
    """Return what is made of rows, and the bad rows with those that joined them, in order.

    Args:
        rows: The usable rows.
        make: Returns what a row becomes, or raises RowFault.
        bad: Rows that could not be used before.
    """
    made: list[Made] = []
    found = list(bad)
    for each in rows:
        try:
            made.append(make(each))
        except RowFault as fault:
            found.append(BadRow.from_fault(each.row, fault))
    return made, sorted(found, key=lambda each: each.row)


def find_longest(*sets: Sequence[BadRow]) -> int | None:
    """Return the `data.block_size` that holds all rows; None if each fits already."""
    return max((row.tokens for bad in sets for row in bad if row.tokens), default=None)


def hold_out_prompts(
    prompts: Iterable[str], share: float, source: str, name: str, digest_size: int
) -> set[str]:
    """Return the prompts to hold out: those with the smallest hashes, the same in every run.

    Args:
        prompts: The prompts of all rows.
        share: Share of the different prompts that is held out.
        source: What was read, for the message.
        name: What a row holds, in the singular, for the message.
        digest_size: Bytes of a hash. Another size is another split.

    Raises:
        DataError: too few prompts for both sides.
    """
    ordered = sorted(
        set(prompts),
        key=lambda each: hashlib.blake2b(each.encode(), digest_size=digest_size).digest(),
    )
    count = round(len(ordered) * share)
    if not 0 < count < len(ordered):
        raise DataError(
            f"{source} has {len(ordered)} different prompts, of which "
            f"`data.held_out_fraction`={share:g} is {count}: give held-out {name}s by "
            "`data.held_out_path=…`, or another fraction"
        )
    return set(ordered[:count])
