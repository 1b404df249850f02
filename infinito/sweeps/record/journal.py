"""An append-only file of events that a process killed at any moment leaves readable.

A line is `<checksum> <JSON>`; the checksum covers the JSON and the line before it, so an altered,
missing or reordered line is noticed. A line is on the disk before `append` returns.

Several processes, on several machines, may write one journal in turns. Their lock is `flock`, which
local disks have and NFS where it is not mounted with `nolock`.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from infinito.errors import ResumeError, SaveError

VERSION = 1
"""Version of the format, in the first event of every journal."""

PATIENCE_S = 60.0
"""How long a driver waits for its turn; the longest turns propose, or write the report."""

Event = dict[str, Any]


class Journal:
    """The events of one search, locked against a second writer until closed.

    Args:
        path: The file; it and its folder are made where they do not exist. An unfinished last
            line, which a kill leaves, is cut off.

    Attributes:
        events: All that is written so far; the first holds the version.

    Raises:
        ResumeError: Another process writes it, or it is damaged or of a newer version.
        SaveError: The folder cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._checksum = 0
        self._size = 0
        self._lock = FileLock(f"{path}.lock", timeout=0)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
            self._file = path.open("ab")
        except Timeout:
            raise ResumeError(
                f"{path.parent} is in use by a sweep that is still running. "
                "Wait for it or stop it, or choose another folder: `hydra.sweep.dir=<folder>`"
            ) from None
        except OSError as error:
            self._lock.release()
            raise _save_error(path, error) from error
        self.events: list[Event] = []
        try:
            self._read_new()
        except BaseException:
            self.close()
            raise

    def append(self, *events: Mapping[str, Any]) -> None:
        """Write events; they are on the disk when this returns.

        Raises:
            SaveError: They could not be written.
        """
        if not self.events:
            events = ({"event": "journal", "version": VERSION}, *events)
        lines, checksum = b"", self._checksum
        for event in events:
            line, checksum = _line(event, checksum)
            lines += line
        try:
            self._file.write(lines)
            _sync(self._file)
        except OSError as error:
            raise _save_error(self.path, error) from error
        self._checksum = checksum
        self._size += len(lines)
        self.events.extend(map(dict, events))

    @contextmanager
    def turn(self) -> Iterator[list[Event]]:
        """Give the events that others wrote since the last turn; here there are no others."""
        yield []

    def close(self) -> None:
        """Let another process write."""
        self._file.close()
        Path(self._lock.lock_file).unlink(missing_ok=True)  # held still: see `run_folder.in_use`
        self._lock.release()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _read_new(self) -> list[Event]:
        """Return the events after those that are known; cut off an unfinished last line."""
        with self.path.open("rb") as file:
            file.seek(self._size)
            content = file.read()
        new, sound, self._checksum = _parse(content, self.path, self._checksum, len(self.events))
        self._size += sound
        self.events += new
        if sound < len(content):
            self._file.truncate(self._size)
            _sync(self._file)
        return new


class SharedJournal(Journal):
    """The events of one search that several processes write in turns.

    Args:
        path: The file; it and its folder are made where they do not exist.

    Raises:
        SaveError: The folder cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._checksum = 0
        self._size = 0
        self._lock = FileLock(f"{path}.lock", timeout=PATIENCE_S)
        self.events: list[Event] = []
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _save_error(path, error) from error

    @contextmanager
    def turn(self) -> Iterator[list[Event]]:
        """Lock the journal, and give the events that others wrote since the last turn.

        Raises:
            ResumeError: No turn came within `PATIENCE_S`; or the journal is damaged or of a newer
                version.
            SaveError: The folder cannot be written.
        """
        try:
            self._lock.acquire()
            # opened anew: a file system over a network then shows what other machines wrote
            self._file = self.path.open("ab")
        except Timeout:
            raise ResumeError(
                f"{self.path.parent} has been locked for {PATIENCE_S:g} s by a sweep that does "
                "not share it, or whose machine hangs. Wait for it or stop it, or choose another "
                "folder: `hydra.sweeper.shared=<folder>`"
            ) from None
        except OSError as error:
            self._lock.release()
            raise _save_error(self.path, error) from error
        try:
            with self._file:
                yield self._read_new()
        finally:
            self._lock.release()

    def close(self) -> None:
        """Leave the journal to the other drivers."""


def read(path: Path) -> list[Event]:
    """Return the events of a journal up to an unfinished last line; change nothing.

    Raises:
        ResumeError: There is none, or it is damaged or of a newer version.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ResumeError(f"{path} cannot be read: {error.strerror}") from error
    return _parse(content, path)[0]


def _parse(
    content: bytes, path: Path, checksum: int = 0, known: int = 0
) -> tuple[list[Event], int, int]:
    """Return the events, their size in bytes, and the checksum of the last one.

    Args:
        content: What follows the events that are known.
        path: The file.
        checksum: Of the last event that is known.
        known: How many events are known.
    """
    events: list[Event] = []
    sound = 0
    lines = content.splitlines(keepends=True)
    for number, line in enumerate(lines, start=1):
        event, found = _event(line, checksum)
        if event is None:
            if number == len(lines):
                break  # torn by a kill
            raise ResumeError(
                f"{path}, line {known + number} of {known + len(lines)}: its checksum is wrong, so "
                "the file was altered or damaged after it was written. Restore it from a copy, or "
                "start a new sweep that learns from a table of its trials: "
                "`hydra.sweeper.warm_start=[<csv>]`"
            )
        events.append(event)
        sound, checksum = sound + len(line), found
        if known + number == 1:
            _check_version(event, path)
    return events, sound, checksum


def _line(event: Mapping[str, Any], previous: int) -> tuple[bytes, int]:
    text = json.dumps(event, ensure_ascii=False, allow_nan=False).encode()
    checksum = zlib.crc32(text, previous)
    return b"%08x %s\n" % (checksum, text), checksum


def _event(line: bytes, previous: int) -> tuple[Event | None, int]:
    """Return the event and checksum of a sound line; None for a damaged one."""
    written, _, text = line[:-1].partition(b" ")
    checksum = zlib.crc32(text, previous)
    if not line.endswith(b"\n") or written != b"%08x" % checksum:
        return None, previous
    return json.loads(text), checksum


def _check_version(event: Event, path: Path) -> None:
    version = event.get("version")
    if version != VERSION:
        raise ResumeError(
            f"{path} is of version {version}; this infinito reads version {VERSION}. "
            "Go on with the infinito that wrote it, or start a new sweep"
        )


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _save_error(path: Path, error: OSError) -> SaveError:
    return SaveError(
        f"Cannot write {path}: {error.strerror or error}. Choose a folder that can be written, "
        "e.g. `hydra.sweep.dir=/path/with/space`."
    )
