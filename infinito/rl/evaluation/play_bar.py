"""A progress bar over the episodes of an evaluation, with the time left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

from infinito.run_folder.progress import Bar

REFRESHES_PER_S = 4.0


@contextmanager
def show_steps(console: Console, purpose: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar while the block runs, or print its purpose where there is no terminal.

    Args:
        console: Where to draw.
        purpose: What the block does.
        total: Environment steps that the block will make.

    Yields:
        A function that counts environment steps as done.
    """
    if not console.is_terminal:
        console.print(purpose, highlight=False, soft_wrap=True)
        console.file.flush()
    bar = Bar(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None, complete_style="cyan"),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=console,
        refresh_per_second=REFRESHES_PER_S,
        transient=True,
        disable=not console.is_terminal,
    )
    task = bar.add_task(purpose, total=total)
    with bar:
        yield lambda steps: bar.advance(task, steps)
