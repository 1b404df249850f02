"""A block of Python code is interrupted after its CPU time, and no other block is."""

from __future__ import annotations

import signal
import threading

import pytest

from infinito.data.conversations.rendering.code_limits import (
    TimeLimitError,
    limit_cpu_time,
    limit_memory,
)


def loop_forever() -> None:
    while True:
        pass


def test_a_loop_is_interrupted_and_the_timer_is_put_back() -> None:
    before = signal.getsignal(signal.SIGVTALRM)
    with pytest.raises(TimeLimitError), limit_cpu_time(0.05):
        loop_forever()
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGVTALRM) == before


def test_another_thread_has_no_limit() -> None:
    ended = []

    def count() -> None:
        with limit_cpu_time(1e-6):
            ended.append(sum(range(100_000)))

    thread = threading.Thread(target=count)
    thread.start()
    thread.join()
    assert ended


def test_memory_is_limited_and_the_limit_is_put_back() -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_AS)
    with pytest.raises(MemoryError), limit_memory(1 << 26):
        bytes(1 << 30)
    assert resource.getrlimit(resource.RLIMIT_AS) == before
    assert len(bytes(1 << 27)) == 1 << 27
