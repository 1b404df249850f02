"""What a training asks of a dashboard, besides Lightning's figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from lightning import Trainer


@runtime_checkable
class Dashboard(Protocol):
    """A logger of Lightning that shows pictures and texts too."""

    def show_picture(self, name: str, pixels: np.ndarray, step: int) -> None:
        """Show pixels (height, width, 3) of uint8."""

    def show_text(self, name: str, text: str, step: int) -> None:
        """Show a text that is written in Markdown."""

    def show_score(self, hparams: Mapping[str, Any], name: str, score: float, step: int) -> None:
        """Show the score of a run that has ended, beside the settings that gave it."""

    def flush(self) -> None:
        """Write what is shown so far to where the dashboard reads it."""

    def close(self) -> None:
        """End a run that has succeeded."""


def name_run(folder: Path) -> str:
    """Return what a dashboard elsewhere calls a run: its folder and the one that holds it."""
    return "/".join(folder.absolute().parts[-2:])


def list_dashboards(trainer: Trainer) -> Iterable[Dashboard]:
    """Return the dashboards among the loggers of a trainer."""
    return [each for each in trainer.loggers if isinstance(each, Dashboard)]


def show_end(trainer: Trainer, hparams: Mapping[str, Any], name: str, score: float) -> None:
    """Show the score of a finished training in its dashboard, and close that.

    Args:
        trainer: Of the training.
        hparams: The settings that the task reads.
        name: The tag of the score.
        score: Its value.
    """
    for each in list_dashboards(trainer):
        each.show_score(hparams, name, score, trainer.global_step)
        each.close()
