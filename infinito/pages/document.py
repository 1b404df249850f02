"""What a page consists of, as plain values; `rendering` makes HTML of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from infinito.pages.plots import Plot

LONGEST_CELL = 400
"""Characters of a table's cell, of a name or of a heading that a page shows."""
LONGEST_TEXT = 20_000
"""Characters of a text that a page shows."""


@dataclass(frozen=True)
class Figure:
    """A number that stands large at the top."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Plots:
    """Plots beside each other."""

    kind: ClassVar[str] = "plots"
    plots: Sequence[Plot]


@dataclass(frozen=True)
class Table:
    """A table; cells are text."""

    kind: ClassVar[str] = "table"
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    marked: int | None = None
    """The row that stands out."""
    links: dict[int, str] = field(default_factory=dict)
    """Addresses beside the page, by row: the first cell leads there."""


@dataclass(frozen=True)
class Text:
    """Text that a model or a person wrote, in a box that scrolls."""

    kind: ClassVar[str] = "text"
    title: str
    body: str
    lead: str = ""
    """What stands before the text, dim, such as a prompt."""


@dataclass(frozen=True)
class Picture:
    """A picture as it lies in the run's folder."""

    kind: ClassVar[str] = "picture"
    png: bytes
    description: str


@dataclass(frozen=True)
class Commands:
    """Commands to copy, each with what it does."""

    kind: ClassVar[str] = "commands"
    commands: Sequence[tuple[str, str]]


Part = Plots | Table | Text | Picture | Commands


@dataclass(frozen=True)
class Section:
    """A part of the page with a heading."""

    heading: str
    parts: Sequence[Part]
    note: str = ""
    is_folded: bool = False
    """Whether a reader opens it first."""


@dataclass(frozen=True)
class Page:
    """A whole page."""

    title: str
    subtitle: str
    verdict: str
    figures: Sequence[Figure]
    sections: Sequence[Section]
    mood: str = "open"
    """"good", "bad" or "open": the colour of the verdict."""
    notes: Sequence[str] = ()
    """Sentences that stand below the verdict."""
    status: str = ""
    """When the page was written, and whether the run goes on."""


def shorten(text: str, longest: int = LONGEST_CELL) -> str:
    """Return a text, and how many characters are left out where it is longer than `longest`."""
    if len(text) <= longest:
        return text
    return f"{text[:longest]} … ({len(text) - longest:,} more characters)"
