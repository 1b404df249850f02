"""Progress bars, and the one for the work before a run: reading, learning tokens, tokenising."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

Item = TypeVar("Item")

Show = Callable[[str, int, int | None], None]
"""Takes what is done, its bytes so far, and all its bytes where they are known."""


ECHO = len("^C")
"""Columns that a terminal fills where somebody presses Ctrl+C."""


@dataclass(frozen=True)
class Narrowed:
    """Anything that is drawn, in a few columns less than there are."""

    drawn: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from console.render(self.drawn, options.update_width(options.max_width - ECHO - 1))


class Bar(Progress):
    """A progress bar that leaves the echo of Ctrl+C room.

    In a line that is full, the echo begins another, and taking the bar away would take that one.
    """

    def get_renderable(self) -> RenderableType:
        """Return the bar, narrower than the terminal."""
        return Narrowed(super().get_renderable())


PULSE_S = 0.2
"""Seconds between two drawings of a bar by its pulse."""


class Pulse:
    """Draws a bar again and again while the work behind it does not.

    Args:
        bar: One that is not drawn by a thread of its own.
    """

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to draw, unless the bar is hidden or drawn already."""
        if self._bar.disable or self._thread is not None:
            return
        self._stopped.clear()
        self._thread = threading.Thread(target=self._draw, name="pulse", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Draw no more."""
        if self._thread is not None:
            self._stopped.set()
            self._thread.join()
            self._thread = None

    def _draw(self) -> None:
        while not self._stopped.wait(PULSE_S):
            self._bar.refresh()


@contextmanager
def preparation(console: Console, begins_with: str) -> Iterator[Show]:
    """Draw a bar, which goes with the block; what calls the value moves it.

    Args:
        console: Where to draw; one that is no terminal gets nothing.
        begins_with: What to say before the first call.
    """
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[counts]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    hidden = not console.is_terminal or console.quiet
    with Bar(*columns, console=console, transient=True, disable=hidden) as bar:
        task = bar.add_task(begins_with, total=None, counts="")
        shown = begins_with

        def show(what: str, done: int, total: int | None) -> None:
            nonlocal shown
            if what != shown:  # the time left is that of this piece of work
                bar.reset(task, description=what)
                shown = what
            counts = decimal(done) if total is None else f"{decimal(done)} of {decimal(total)}"
            bar.update(task, completed=done, total=total, counts=counts)

        yield show


def watched(
    items: Iterable[Item],
    what: str,
    size: Callable[[Item], int],
    total: int | None,
    show: Show | None,
) -> Iterator[Item]:
    """Yield the items, and show how many bytes of them are done.

    Args:
        items: Anything.
        what: What is done with them.
        size: Bytes of an item.
        total: Bytes of all, where known.
        show: None shows nothing, and then `size` is not called.
    """
    if show is None:
        yield from items
        return
    done = 0
    show(what, done, total)
    for item in items:
        yield item
        done += size(item)
        show(what, done, total)
