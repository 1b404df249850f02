"""Files that appear whole or not at all, and a lock for two processes that want the same one."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from infinito.errors import SaveError

CHUNK_BYTES = 1 << 20


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """Hold the lock of `target` among processes; creates its folder.

    Raises:
        SaveError: the folder cannot be written.
    """
    from filelock import FileLock  # here: `--help` and faults of a command do without it

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{target}.lock")
        lock.acquire()
    except OSError as error:
        raise _not_written(target, error) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def written_whole(target: Path) -> Iterator[BinaryIO]:
    """Open a file beside `target` that replaces it, synced, when the block ends without an error.

    Hold `locked(target)`: the name of the unfinished file is fixed, so that the next writer
    overwrites what a killed one left.

    Raises:
        SaveError: the disk is full or the folder cannot be written; `target` is untouched.
    """
    partial = target.with_name(f"{target.name}.partial")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
        sync_folder(target.parent)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _not_written(target, error) from error
        raise


def sha256_of_file(path: Path, start: int = 0, stop: int | None = None) -> str:
    """Return the hex SHA-256 of the bytes `start:stop`, read in pieces."""
    digest = hashlib.sha256()
    for piece in read_pieces(path, start, stop):
        digest.update(piece)
    return digest.hexdigest()


def read_pieces(path: Path, start: int = 0, stop: int | None = None) -> Iterator[memoryview]:
    """Yield the bytes `start:stop` of a file in pieces; each is overwritten by the next."""
    buffer = memoryview(bytearray(CHUNK_BYTES))
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        left = (path.stat().st_size if stop is None else stop) - start
        while left > 0 and (count := file.readinto(buffer[:left])):
            yield buffer[:count]
            left -= count


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _not_written(target: Path, error: OSError) -> SaveError:
    return SaveError(
        f"Cannot write {target}: {error.strerror or error}. Free some space or choose another "
        "folder, e.g. data.cache_dir=/path/with/space."
    )
