"""Drivers of one search, which tell each other by heartbeats that they are alive.

A driver rewrites a file of its own with a growing number. The others look whether the number grows
by their own clocks, so the clocks of two machines need not agree. A driver that ends removes it.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from infinito.sweeps.settings import HEARTBEAT_S

FOLDER = "drivers"
"""In a sweep's folder."""

BEATS = 4
"""In the time after which a silent driver counts as dead."""


class Drivers:
    """This driver's heartbeat, and those of the others.

    Args:
        folder: The sweep's.
        heartbeat_s: A driver that is silent for longer is dead.
        clock: Seconds that only grow.

    Attributes:
        name: This driver's: its host, its process and a random word.
        place: Where process numbers are those of this driver.
    """

    def __init__(
        self,
        folder: Path,
        heartbeat_s: float = HEARTBEAT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = folder / FOLDER
        self.heartbeat_s = heartbeat_s
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
        self.place = find_place()
        self._clock = clock
        self._heard: dict[str, tuple[str, float]] = {}  # the last beat and when it was new
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Drivers:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write(0)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_over.set()
        self._thread.join()
        (self.folder / self.name).unlink(missing_ok=True)

    def is_dead(self, name: str) -> bool:
        """Tell whether a driver has ended, or has been silent for too long."""
        if name == self.name:
            return False
        try:
            beat = (self.folder / name).read_text()
        except OSError:
            return True
        if self._was_killed_here(beat):
            return True
        known = self._heard.get(name)
        if known is None or known[0] != beat:
            self._heard[name] = beat, self._clock()
            return False
        return self._clock() - known[1] > self.heartbeat_s

    def _was_killed_here(self, beat: str) -> bool:
        """Tell whether a driver was a process of this machine that is gone."""
        words = beat.split()  # fewer while the file is being written
        return len(words) == 3 and words[2] == self.place and not _is_running(int(words[1]))

    def _beat(self) -> None:
        count = 0
        while not self._is_over.wait(self.heartbeat_s / BEATS):
            count += 1
            try:
                self._write(count)
            except OSError:  # the others see the silence
                continue

    def _write(self, count: int) -> None:
        text = f"{count} {os.getpid()} {self.place}\n"
        (self.folder / self.name).write_text(text)


def _is_running(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's process
        return True
    return True


def find_place() -> str:
    """Return the boot and the process namespace of this process; "" where no system tells."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""
