"""A text file with a line a step, exact after a resume: the file under metrics.csv and samples."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


class StepLines:
    """Appends lines to a file; the last line may be written again, longer or shorter.

    A line reaches the system at once, so a killed process loses none; `sync` is for a machine that
    loses its power.

    Args:
        path: The file; its folder must exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._last_step: int | None = None
        self._last_begins = 0

    def begin(self, head: Iterable[str], lines: Iterable[tuple[int, str]]) -> None:
        """Replace the file, whole or not at all.

        Args:
            head: Lines that stand above those of the steps.
            lines: Steps in ascending order, each with its line.
        """
        self._last_step = None
        aside = self.path.with_name(f"{self.path.name}.partial")
        with aside.open("wb") as file:
            file.writelines(f"{line}\n".encode() for line in head)
            for step, line in lines:
                self._last_step, self._last_begins = step, file.tell()
                file.write(f"{line}\n".encode())
        aside.replace(self.path)

    def put(self, step: int, line: str) -> None:
        """Write the line of a step: in place of the last line if that is of the same step."""
        with self.path.open("r+b") as file:
            if step == self._last_step:
                file.seek(self._last_begins)
                file.truncate()
            else:
                self._last_step, self._last_begins = step, file.seek(0, os.SEEK_END)
            file.write(f"{line}\n".encode())

    def sync(self) -> None:
        """Wait until the lines are on the disk."""
        if self.path.is_file():
            with self.path.open("rb") as file:
                os.fsync(file.fileno())


def read_lines(path: Path) -> list[str]:
    """Return the complete lines of a file; one that a dying machine cut short is left out."""
    if not path.is_file():
        return []
    return path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]
