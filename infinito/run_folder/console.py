"""One quiet, readable console; everything else, tracebacks included, goes to the run's log."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape

NOISY = ("lightning", "lightning.pytorch", "lightning.fabric", "transformers", "datasets", "torch")
"""Loggers that write to the screen by themselves."""


@contextmanager
def logged_to(path: Path, *, shows_warnings: bool = True) -> Iterator[logging.Logger]:
    """Sends all log records and warnings to a file, and only infinito's own warnings to the screen.

    Args:
        path: The log, appended to.
        shows_warnings: Whether this process prints warnings, of several that train together.
    """
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    own = logging.getLogger("infinito")
    screen = ScreenWarnings()
    if shows_warnings:
        own.addHandler(screen)
    quieted = {name: (logging.getLogger(name).handlers[:]) for name in NOISY}
    for name in NOISY:
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = True
    logging.captureWarnings(True)
    try:
        with warnings.catch_warnings():
            yield own
    finally:
        logging.captureWarnings(False)
        for name, kept in quieted.items():
            logging.getLogger(name).handlers = kept
        own.removeHandler(screen)
        root.handlers, root.level = handlers, level
        handler.close()


class ScreenWarnings(logging.Handler):
    """Prints infinito's own warnings in one line each."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record, above a progress bar where one is drawn."""
        console = Console(stderr=True, soft_wrap=True, highlight=False)
        with console.capture() as text:
            console.print(f"[yellow]warning:[/] {escape(record.getMessage())}", end="")
        # sys.stderr, not the console's own file: a live bar puts itself there to make room
        print(text.get(), file=sys.stderr, flush=True)
