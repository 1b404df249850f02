"""A limit on the CPU time of Python code that comes with data, such as a chat template."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class TimeLimitError(Exception):
    """A block took more CPU time than it may."""


@contextmanager
def limit_cpu_time(seconds: float) -> Iterator[None]:
    """Interrupt a block of Python code after so much CPU time of this process.

    CPU time and not wall time, so that a busy machine changes nothing. Python delivers signals to
    the main thread alone: in another thread there is no limit.

    Raises:
        TimeLimitError: from within the block.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGVTALRM, _interrupt)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, previous)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise TimeLimitError
