"""Checkpoint files: written aside and renamed, checked by their hash, never unpickled.

A checkpoint is torch's own zip archive with its SHA-256 in the archive's comment, so `torch.load`
and any zip tool still read it.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import torch

from infinito.errors import CheckpointError
from infinito.storage import written_whole

FORMAT = 1
"""Version of what a checkpoint holds; a newer one is refused."""

_COMMENT = b"infinito sha256 "


def write_checkpoint(checkpoint: dict[str, Any], path: Path) -> None:
    """Write a checkpoint, which replaces the file at `path` only once all of it is on disk.

    Raises:
        SaveError: disk full or folder unwritable; an older file at `path` is untouched.
    """
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    content = buffer.getbuffer()[:-2]  # a zip archive ends with the length of its comment, here 0
    comment = _COMMENT + hashlib.sha256(content).hexdigest().encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as file:
        file.write(content)
        file.write(struct.pack("<H", len(comment)) + comment)


def read_checkpoint(path: str | Path, map_location: Any = "cpu") -> dict[str, Any]:
    """Return the content of a checkpoint file whose checksum is right.

    Raises:
        CheckpointError: missing, damaged, not infinito's, of a newer format, a URL, or holding
            anything but tensors and plain values.
    """
    if "://" in str(path):
        raise CheckpointError(
            f"{path} is a URL: a checkpoint is read from a local file only. "
            "Download it and give its path."
        )
    checkpoint = read_checked_content(path, map_location)
    _check_format(Path(path), checkpoint)
    return checkpoint


def batches_done(checkpoint: dict[str, Any]) -> int:
    """Return how many training batches were complete when a checkpoint was saved."""
    progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    return int(progress["current"]["completed"])


def read_checked_content(path: str | Path, map_location: Any) -> dict[str, Any]:
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint file {path}")
    _verify(path)
    try:
        content: dict[str, Any] = torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:
        raise CheckpointError(
            f"{path} was refused: it holds more than tensors and plain values, and unpickling "
            f"those could run code ({str(error).splitlines()[0]})"
        ) from None
    return content


def _verify(path: Path) -> None:
    data = path.read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            comment = archive.comment
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        raise CheckpointError(
            f"{path} ({len(data)} bytes) is no checkpoint, or a damaged or truncated one. "
            "Use another, e.g. checkpoints/best.ckpt instead of last.ckpt."
        ) from None
    if not comment.startswith(_COMMENT):
        raise CheckpointError(
            f"{path} is not a checkpoint of infinito (it carries no checksum). "
            "A Hugging Face folder is read by `checkpoint=<folder>`."
        )
    if _COMMENT + hashlib.sha256(data[: -len(comment) - 2]).hexdigest().encode() != comment:
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
