"""Ctrl+C, SIGTERM and SIGHUP ask a run to save and stop; exit code 128 + the signal."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from infinito.errors import SIGNALLED, InfinitoError

SIGNALS = tuple(
    number
    for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", None))
    if number is not None
)


class Interrupted(InfinitoError):
    """A run that stopped on a signal, after saving."""

    heading = "stopped"

    def __init__(self, number: int, message: str) -> None:
        self.exit_code = SIGNALLED + number
        super().__init__(message)


class Interruption:
    """Remembers the first signal to stop the run; a second one ends it at once."""

    def __init__(self) -> None:
        self.number: int | None = None

    @contextmanager
    def listening(self) -> Iterator[Interruption]:
        """Takes the signals over for the block, where the main thread allows it."""
        previous = {number: signal.getsignal(number) for number in SIGNALS}
        self.take_over()
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        try:
            yield self
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def take_over(self) -> None:
        """Handle the signals from here on, where this is the main thread."""
        if threading.current_thread() is not threading.main_thread():
            return
        if self.number is not None:
            end_at_once()
            return
        for number in SIGNALS:
            signal.signal(number, self._remember)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        end_at_once()


def end_at_once() -> None:
    """Let the next signal end this process."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def describe_signal(number: int) -> str:
    """Return what a person did, or a machine, to send this signal."""
    causes = {
        "SIGINT": "Ctrl+C",
        "SIGTERM": "a request to end (SIGTERM)",
        "SIGHUP": "a closed terminal (SIGHUP)",
    }
    return f"by {causes[signal.Signals(number).name]}"
