"""TensorBoard, from files in the run's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers import TensorBoardLogger

from infinito.run_folder.folder import events_folder


class TensorBoard(TensorBoardLogger):
    """Writes event files, and hparams.yaml.

    Args:
        folder: The run's, by whose path TensorBoard shows it.
        resumed_step: What was written up to this step stays; TensorBoard hides what came after it.
        hparams: What hparams.yaml is to hold.
    """

    def __init__(self, folder: Path, resumed_step: int | None, hparams: Mapping[str, Any]) -> None:
        super().__init__(
            events_folder(folder),
            name=None,
            version="",
            default_hp_metric=False,
            purge_step=None if resumed_step is None else resumed_step + 1,
        )
        self.hparams.update(hparams)

    def show_picture(self, name: str, pixels: np.ndarray, step: int) -> None:
        """Add a picture to the tab IMAGES."""
        self.experiment.add_image(name, pixels, step, dataformats="HWC")

    def show_text(self, name: str, text: str, step: int) -> None:
        """Add a text to the tab TEXT."""
        self.experiment.add_text(name, text, step)

    def show_score(self, hparams: Mapping[str, Any], name: str, score: float, step: int) -> None:
        """Add a row to the tab HPARAMS."""
        self.log_hyperparams(dict(hparams), {name: score}, step=step)

    def flush(self) -> None:
        """Write the events to their file."""
        self.experiment.flush()

    def close(self) -> None:
        """Close the file."""
        self.finalize("success")
