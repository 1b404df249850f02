"""What is wrong with rows that cannot be used, and the refusal of files that hold such rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from infinito.errors import DataError
from infinito.wording import escape_controls

SHOWN_FAULTS = 5


class RowFault(Exception):
    """One row cannot be used. Code that gathers rows catches it; a user sees `BadRow`s.

    Args:
        kind: Sort of fault, under which dropped rows are counted.
        fault: Continues the words "row 3: …".
        mend: What the user can do.
    """

    def __init__(self, kind: str, fault: str, mend: str) -> None:
        self.kind, self.fault, self.mend = kind, escape_controls(fault), mend
        super().__init__(self.fault)


class TooLong(RowFault):
    """A row needs more tokens than the window has.

    Args:
        kind: As in `RowFault`.
        fault: As in `RowFault`.
        tokens: Tokens of the prompt and its longer answer.
        cut: The value of `data.truncate` that makes the row fit; None if neither does.
    """

    def __init__(self, kind: str, fault: str, tokens: int, cut: str | None) -> None:
        super().__init__(kind, fault, mend_length(tokens, cut))
        self.tokens, self.cut = tokens, cut


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used, and why."""

    row: int
    """Row in the file, counted from 0."""
    kind: str
    fault: str
    mend: str
    tokens: int | None = None
    """Tokens that a too long row needs; None for other faults."""
    cut: str | None = None
    """See `TooLong`."""

    @classmethod
    def from_fault(cls, row: int, fault: RowFault) -> BadRow:
        """Return the fault together with its row."""
        length = (fault.tokens, fault.cut) if isinstance(fault, TooLong) else (None, None)
        return cls(row, fault.kind, fault.fault, fault.mend, *length)


def mend_length(block_size: int, cut: str | None) -> str:
    """Return what makes a too long row fit."""
    return f"Use `data.block_size={block_size}`" + (f" or `data.truncate={cut}`" if cut else "")


def unify_block_size(bad: Sequence[BadRow], block_size: int) -> list[BadRow]:
    """Return the same rows, with one `data.block_size` named wherever a row is too long."""
    return [
        each if each.tokens is None else replace(each, mend=mend_length(block_size, each.cut))
        for each in bad
    ]


def count_kinds(bad: Sequence[BadRow]) -> dict[str, int]:
    """Return how many rows have each kind of fault, kinds in alphabetical order."""
    return dict(sorted(Counter(each.kind for each in bad).items()))


def refuse_bad_rows(
    bad: Sequence[BadRow],
    on_bad_row: str,
    source: str,
    kept: int,
    name: str = "pair",
    keys: str = "prompt, chosen and rejected",
) -> None:
    """Check that bad rows may be dropped and that a good one is left.

    Args:
        bad: The bad rows.
        on_bad_row: "error" or "drop".
        source: What was read, for the message.
        kept: Number of good rows.
        name: What a row should be, for the message.
        keys: Which keys such a row has, for the message.

    Raises:
        DataError: bad rows under "error", the first ones each with its mend; or no good row.
    """
    if bad and on_bad_row == "error":
        shown = "\n".join(
            f"  row {each.row}: {each.fault}. {each.mend}" for each in bad[:SHOWN_FAULTS]
        )
        more = f"\n  … and {len(bad) - SHOWN_FAULTS} more" if len(bad) > SHOWN_FAULTS else ""
        raise DataError(
            f"{source}: {len(bad)} of {len(bad) + kept} rows cannot be used (rows count from 0):\n"
            f"{shown}{more}\nMend them, or leave them out with `data.on_bad_row=drop`."
        )
    if not kept:
        reasons = ", ".join(f"{count} {kind}" for kind, count in count_kinds(bad).items())
        raise DataError(
            f"{source} holds no {name}"
            + (f": all rows were dropped ({reasons}). `task=check_data` shows them." if bad else "")
            + ("" if bad else f". Expected rows with {keys}: `data.path=…`")
        )
