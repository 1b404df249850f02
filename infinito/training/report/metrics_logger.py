"""The Lightning logger of metrics.csv."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from infinito.process import resident_mib
from infinito.run_folder.series.metrics_file import MetricsFile


class MetricsLogger(Logger):
    """Writes figures to a run's metrics.csv, with the memory in use.

    Args:
        file: Where to.
    """

    def __init__(self, file: MetricsFile) -> None:
        super().__init__()
        self.file = file

    @property
    def name(self) -> None:
        """None: the file lies in the run's folder itself."""

    @property
    def version(self) -> None:
        """None, as the name."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add figures to the row of a step."""
        assert step is not None
        self.file.write(step, {"memory_mib": round(memory_mib(), 1), **metrics})

    @rank_zero_only
    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """Do nothing: config.yaml has them."""

    @rank_zero_only
    def save(self) -> None:
        """Wait until the rows are on the disk."""
        self.file.sync()


def memory_mib() -> float:
    """Return the most memory of the GPU so far, or without one what this process holds now."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated() / 2**20
    return resident_mib()


def log_everywhere(trainer: Trainer, metrics: Mapping[str, float], step: int) -> None:
    """Give figures to every logger of a trainer."""
    for logger in trainer.loggers:
        logger.log_metrics(dict(metrics), step=step)
