"""Tables and next commands on the screen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from infinito.wording import escape_controls, format_value

_IS_NEXT_LEFT_OUT: ContextVar[bool] = ContextVar("_IS_NEXT_LEFT_OUT", default=False)


def print_table(console: Console, title: str, rows: Mapping[str, Any]) -> None:
    """Print names and values, numbers to a sensible number of digits.

    A file or pipe has no width: there a value stays on its line, however long it is.
    """
    console.print(f"[bold]{escape(title)}[/]", highlight=False, soft_wrap=True)
    if not console.is_terminal:
        width = max(map(len, rows), default=0)
        for name, value in rows.items():
            line = f"{name:{width}}  {format_value(value)}"
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        return
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="cyan")
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(*(escape(escape_controls(cell)) for cell in (name, format_value(value))))
    console.print(table)


def print_page(console: Console, page: Path | None) -> None:
    """Say where the page of a run lies, if there is one."""
    if page is not None:
        console.print(f"\n[bold]page[/]  {escape(str(page))}", highlight=False, soft_wrap=True)


@contextmanager
def without_next() -> Iterator[None]:
    """Leave out next commands in the block, as the runs of a sweep do: the sweep names its own."""
    token = _IS_NEXT_LEFT_OUT.set(True)
    try:
        yield
    finally:
        _IS_NEXT_LEFT_OUT.reset(token)


def print_next(console: Console, commands: Sequence[tuple[str, str]]) -> None:
    """Print the commands that are useful now, each with what it does."""
    if _IS_NEXT_LEFT_OUT.get():
        return
    console.print("\n[bold]Next[/]")
    for command, purpose in commands:
        console.print(
            f"  {escape(command)}  [dim]# {escape(purpose)}[/]", highlight=False, soft_wrap=True
        )
