"""A preference pair as text, and what is wrong with a row that is none."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from infinito.errors import DataError

Messages = tuple[dict[str, str], ...]
"""Turns of a conversation, each with a `role` and a `content`."""

SHOWN_FAULTS = 5


@dataclass(frozen=True)
class TextPair:
    """A prompt and two answers to it, the first preferred; all text, or all messages."""

    prompt: str | Messages
    chosen: str | Messages
    rejected: str | Messages
    category: str | None
    row: int
    """Row in the file, counted from 0."""
    weight: float = 1.0
    has_turns: bool = False
    """The text is a dialogue with turns of its own: no chat template is put around it."""


def to_messages(text: str | Messages, role: str) -> Messages:
    """Messages as they are; text as the one message of `role`."""
    return ({"role": role, "content": text},) if isinstance(text, str) else text


def to_text(text: str | Messages) -> str:
    """One string for text or messages, equal for equal ones and no others of the same form."""
    return text if isinstance(text, str) else json.dumps(text, sort_keys=True, ensure_ascii=False)


class RowFault(Exception):
    """One row cannot be used; caught where rows are gathered, never shown to a user as it is."""

    def __init__(self, kind: str, fault: str, mend: str) -> None:
        self.kind, self.fault, self.mend = kind, fault, mend
        super().__init__(fault)


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used and why."""

    row: int
    kind: str
    """The sort of fault, under which dropped rows are counted."""
    fault: str
    mend: str

    @classmethod
    def of(cls, row: int, fault: RowFault) -> BadRow:
        """The fault of a row, with the row."""
        return cls(row, fault.kind, fault.fault, fault.mend)


def count_kinds(bad: Sequence[BadRow]) -> dict[str, int]:
    """How many rows have each kind of fault, kinds in alphabetical order."""
    kinds = sorted(each.kind for each in bad)
    return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}


def refuse_bad_rows(bad: Sequence[BadRow], on_bad_row: str, source: str, kept: int) -> None:
    """Checks that bad rows may be dropped and that something is left without them.

    Args:
        bad: The bad rows.
        on_bad_row: "error" or "drop".
        source: What was read, for the message.
        kept: Rows that are good.

    Raises:
        DataError: a bad row where none may be, each with its mend; or no row is left.
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
            f"{source} holds no pair"
            + (f": all rows were dropped ({reasons}). `task=check_data` shows them." if bad else "")
            + ("" if bad else ". Expected rows with prompt, chosen and rejected: `data.path=…`")
        )
