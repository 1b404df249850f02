"""Lightning's door to checkpoint files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO

from infinito.models.checkpoint_file import read_checked_content, write_checkpoint


class SafeCheckpointIO(CheckpointIO):
    """Lightning's checkpoint files by `write_checkpoint` and `read_checkpoint`."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Writes a checkpoint; see `write_checkpoint`."""
        write_checkpoint(checkpoint, Path(path))

    def load_checkpoint(
        self,
        path: Any,
        map_location: Callable[..., Any] | None = None,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Reads a file that `save_checkpoint` wrote, be it Lightning's own passing of weights."""
        return read_checked_content(path, map_location)

    def remove_checkpoint(self, path: Any) -> None:
        """Deletes a checkpoint file."""
        Path(path).unlink(missing_ok=True)
