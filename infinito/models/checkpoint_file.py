"""Checkpoint files: written aside and renamed, checked by their hash, never unpickled.

A checkpoint is torch's own zip archive with its SHA-256 in the archive's comment, so `torch.load`
still reads it. Neither writing nor checking one holds a copy of it in memory.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import torch
from torch.serialization import get_crc32_options, set_crc32_options

from infinito.errors import CheckpointError
from infinito.storage import CHUNK_BYTES, sha256_of_file, sync_folder, written_whole

FORMAT = 1
"""Version of what a checkpoint holds; a newer one is refused."""

_COMMENT = b"infinito sha256 "
_COMMENT_LENGTH = struct.Struct("<H")
"""Last entry of a zip archive before its comment."""


def write_checkpoint(checkpoint: dict[str, Any], path: Path) -> None:
    """Write a checkpoint, which replaces the file at `path` only once all of it is on disk.

    Raises:
        SaveError: disk full or folder unwritable; an older file at `path` is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as file, _HashedStream(file) as stream:
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
    _verify(path)
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
    if not comment.startswith(_COMMENT):
        raise CheckpointError(
            f"{path} is not a checkpoint of infinito (it carries no checksum). "
            "A Hugging Face folder is read by `checkpoint=<folder>`."
        )
    content = size - len(comment) - _COMMENT_LENGTH.size
    if _COMMENT + sha256_of_file(path, stop=content).encode() != comment:
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
    """Leave out the archive's own checksums, which take longer than SHA-256 and cover less.

    Torch never reads them; a zip tool that unpacks the archive warns of them.
    """
    before = get_crc32_options()
    set_crc32_options(False)
    try:
        yield
    finally:
        set_crc32_options(before)


class _HashedStream:
    """Hashes what `torch.save` writes while the file takes it, but for the last two bytes.

    Those are the length of the archive's comment, here 0, which another length replaces.

    Attributes:
        fault: What a write raised first.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.fault: OSError | None = None
        self._digest = hashlib.sha256()
        self._held = b""
        self._beside = ThreadPoolExecutor(1)

    def __enter__(self) -> _HashedStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        self._beside.shutdown()

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
        """Return the SHA-256 of what was written."""
        return self._digest.hexdigest()

    def _put(self, data: memoryview) -> None:
        try:
            if len(data) < CHUNK_BYTES:
                self._digest.update(data)
                self.file.write(data)
                return
            hashed = self._beside.submit(self._digest.update, data)
            try:
                self.file.write(data)
            finally:
                hashed.result()
        except OSError as error:
            self.fault = self.fault or error
            raise
