"""Checkpoint files: written aside and renamed, checked by their hash, never unpickled.

A checkpoint is torch's own zip archive with its hash in the archive's comment, so `torch.load`
still reads it. Neither writing nor checking one holds a copy of it in memory. The hash finds damage
and no forgery, as whoever forges a file can forge its hash, too: XXH3 of 128 bits, eight times as
fast as SHA-256, which files of versions until 0.2 have.
"""

from __future__ import annotations

import hashlib
import os
import struct
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import torch
from torch.serialization import get_crc32_options, set_crc32_options
from xxhash import xxh3_128

from infinito.errors import CheckpointError
from infinito.storage import read_pieces, sync_folder, written_whole

FORMAT = 1
"""Version of what a checkpoint holds; a newer one is refused."""

_COMMENT = b"infinito xxh3_128 "
_OLD_COMMENT = b"infinito sha256 "
SETTLED_S = 3.0
"""Age in seconds from which a change of a file shows in its time."""

_verified: set[tuple[int, ...]] = set()
"""Files whose hash was right: device, inode, size and time."""

_COMMENT_LENGTH = struct.Struct("<H")
"""Last entry of a zip archive before its comment."""


def write_checkpoint(checkpoint: dict[str, Any], path: Path) -> None:
    """Write a checkpoint, which replaces the file at `path` only once all of it is on disk.

    Raises:
        SaveError: disk full or folder unwritable; an older file at `path` is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as file:
        stream = _HashedStream(file)
        try:
            with _without_crc32():
                torch.save(checkpoint, stream)  # type: ignore[arg-type]  # has all that torch calls
        except RuntimeError:  # torch hides the error of a write behind one of its own
            if stream.fault is None:
                raise
            raise stream.fault from None
        comment = _COMMENT + stream.hexdigest().encode()
        file.write(_COMMENT_LENGTH.pack(len(comment)) + comment)


def link_checkpoint(source: Path, target: Path) -> bool:
    """Give a checkpoint a second name, which replaces the file at `target`.

    Both names share the bytes on disk until a new checkpoint takes one of them.

    Returns:
        Whether that was possible: some file systems have no hard links.
    """
    partial = target.with_name(f"{target.name}.partial")
    try:
        with suppress(FileNotFoundError):
            partial.unlink()
        os.link(source, partial)
        partial.replace(target)
        sync_folder(target.parent)
    except OSError:
        return False
    return True


def read_checkpoint(
    path: str | Path, map_location: Any = "cpu", *, mapped: bool = False
) -> dict[str, Any]:
    """Return the content of a checkpoint file whose checksum is right.

    Args:
        path: The file.
        map_location: As in `torch.load`.
        mapped: Read tensors from the file when they are used, for a caller that copies them or
            reads few of them. The file must not be truncated meanwhile; replacing it is safe.

    Raises:
        CheckpointError: missing, damaged, not infinito's, of a newer format, a URL, or holding
            anything but tensors and plain values.
    """
    if "://" in str(path):
        raise CheckpointError(
            f"{path} is a URL: a checkpoint is read from a local file only. "
            "Download it and give its path."
        )
    checkpoint = read_checked_content(path, map_location, mapped=mapped)
    _check_format(Path(path), checkpoint)
    return checkpoint


def batches_done(checkpoint: dict[str, Any]) -> int:
    """Return how many training batches were complete when a checkpoint was saved."""
    progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    return int(progress["current"]["completed"])


def read_checked_content(
    path: str | Path, map_location: Any, *, mapped: bool = False
) -> dict[str, Any]:
    """Return the same of any file that `write_checkpoint` wrote, whatever it holds."""
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint file {path}")
    _verify_once(path)
    try:
        content: dict[str, Any] = torch.load(
            path, map_location=map_location, weights_only=True, mmap=mapped
        )
    except Exception as error:
        raise CheckpointError(
            f"{path} was refused: it holds more than tensors and plain values, and unpickling "
            f"those could run code ({str(error).splitlines()[0]})"
        ) from None
    return content


def _verify_once(path: Path) -> None:
    """Verify a file unless this process has, and it has not changed since.

    A file is known by what the kernel says of it. One that has just been written may change again
    without a new time, whose steps are milliseconds, or seconds on some file systems.
    """
    about = path.stat()
    known = about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns
    if known in _verified:
        return
    is_settled = time.time() - about.st_mtime > SETTLED_S
    _verify(path)
    if is_settled:
        _verified.add(known)


def _verify(path: Path) -> None:
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            comment = archive.comment
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        raise CheckpointError(
            f"{path} ({size} bytes) is no checkpoint, or a damaged or truncated one. "
            "Use another, e.g. checkpoints/best.ckpt instead of last.ckpt."
        ) from None
    hashes: dict[bytes, Hash] = {_COMMENT: xxh3_128(), _OLD_COMMENT: hashlib.sha256()}
    kind = next(filter(comment.startswith, hashes), None)
    if kind is None:
        raise CheckpointError(
            f"{path} is not a checkpoint of infinito (it carries no checksum). "
            "A Hugging Face folder is read by `checkpoint=<folder>`."
        )
    digest = hashes[kind]
    for piece in read_pieces(path, stop=size - len(comment) - _COMMENT_LENGTH.size):
        digest.update(piece)
    if kind + digest.hexdigest().encode() != comment:
        raise CheckpointError(
            f"{path} is damaged: its content does not match its checksum. "
            "Use another, e.g. checkpoints/best.ckpt instead of last.ckpt."
        )


def _check_format(path: Path, checkpoint: Any) -> None:
    about = checkpoint.get("infinito") if isinstance(checkpoint, dict) else None
    if not isinstance(about, dict):
        raise CheckpointError(f"{path} is not a checkpoint of infinito: it lacks its description")
    if about.get("format", 0) > FORMAT:
        raise CheckpointError(
            f"{path} has format {about['format']}, this infinito reads up to {FORMAT}: "
            "update infinito"
        )


@contextmanager
def _without_crc32() -> Iterator[None]:
    """Leave out the archive's own checksums, with which a save takes twice as long.

    Torch never reads them; a zip tool that unpacks the archive warns of them.
    """
    before = get_crc32_options()
    set_crc32_options(False)
    try:
        yield
    finally:
        set_crc32_options(before)


class Hash(Protocol):
    """A running hash."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Take more bytes."""

    def hexdigest(self) -> str:
        """Return the hash of all bytes until now."""


class _HashedStream:
    """Hashes what `torch.save` writes before the file takes it, but for the last two bytes.

    Those are the length of the archive's comment, here 0, which another length replaces.

    Attributes:
        fault: What a write raised first.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.fault: OSError | None = None
        self._digest = xxh3_128()
        self._held = b""

    def write(self, data: bytes | memoryview) -> int:
        """Write all but the last two bytes of what has come so far."""
        new = memoryview(data)
        if len(new) < _COMMENT_LENGTH.size:
            new, self._held = memoryview(self._held + new), b""
        self._put(memoryview(self._held))
        self._put(new[: -_COMMENT_LENGTH.size])
        self._held = bytes(new[-_COMMENT_LENGTH.size :])
        return len(data)

    def flush(self) -> None:
        """Do nothing, as the file is synced at its end."""

    def hexdigest(self) -> str:
        """Return the hash of what was written."""
        return self._digest.hexdigest()

    def _put(self, data: memoryview) -> None:
        self._digest.update(data)
        try:
            self.file.write(data)
        except OSError as error:
            self.fault = self.fault or error
            raise
