"""CPU seconds and peak memory of a program's phases, charged where its functions are entered."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Phases:
    """Charges CPU time and the peak of resident memory to the innermost phase that is open."""

    def __init__(self, first: str) -> None:
        self.found: dict[str, dict[str, float]] = {}
        self._open = [first]
        self._began_s = time.process_time()
        self._reset_peak()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Open a phase; what surrounds it is not charged meanwhile."""
        self._charge()
        self._open.append(name)
        try:
            yield
        finally:
            self._charge()
            self._open.pop()

    def wrap(self, owner: Any, function: str, name: str) -> None:
        """Make every call of `owner.function` a phase."""
        inner = getattr(owner, function)

        @functools.wraps(inner)
        def charged(*arguments: Any, **named: Any) -> Any:
            with self.phase(name):
                return inner(*arguments, **named)

        setattr(owner, function, charged)

    def close(self) -> dict[str, dict[str, float]]:
        """Return CPU seconds, and peaks in MiB, by phase."""
        self._charge()
        return self.found

    def _charge(self) -> None:
        now_s = time.process_time()
        entry = self.found.setdefault(self._open[-1], {"cpu_s": 0.0, "peak_mib": 0.0, "calls": 0})
        entry["cpu_s"] += now_s - self._began_s
        entry["peak_mib"] = max(entry["peak_mib"], memory_mib("VmHWM"))
        entry["calls"] += 1
        self._began_s = now_s
        self._reset_peak()

    @staticmethod
    def _reset_peak() -> None:
        Path("/proc/self/clear_refs").write_text("5")


def memory_mib(field: str) -> float:
    """Return a line of /proc/self/status, in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise AssertionError(field)
