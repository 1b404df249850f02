"""Limits on the CPU time and the memory of Python code that comes with data: a chat template."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

STATUS = Path("/proc/self/statm")
"""Where Linux tells the pages that this process has."""


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


def _interrupt(*_: Any) -> None:
    raise TimeLimitError


@contextmanager
def limit_memory(further_bytes: int) -> Iterator[None]:
    """Let a block of Python code raise MemoryError once it takes so much more address space.

    The limit is the process's: keep the block short. Where the system does not tell what the
    process has (anything but Linux), there is none.
    """
    if not STATUS.exists():
        yield
        return
    import resource  # Unix has it

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(STATUS.read_text().split()[0])
    limit = pages * resource.getpagesize() + further_bytes
    if resource.RLIM_INFINITY not in (soft, hard):
        limit = min(limit, soft, hard)
    elif soft != resource.RLIM_INFINITY:
        limit = min(limit, soft)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
