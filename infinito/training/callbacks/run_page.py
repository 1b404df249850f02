"""Keeps the page of a run up to date while it trains, as far as that costs next to nothing."""

from __future__ import annotations

import time
from pathlib import Path

from lightning import Callback, LightningModule, Trainer

from infinito.pages.kinds.run_files import HEAT_MAPS
from infinito.pages.run_page import write_page_or_warn
from infinito.training.callbacks.validation_report import ValidationReport
from infinito.training.report.heat_maps import save_pixels

SHARE = 0.01
"""Of the time since the page was written last, the most that writing it again may take."""


class RunPage(Callback):
    """Writes report.html at validations, without the drawings for readers without a script.

    Without them a page takes some milliseconds, which grow with the rows of metrics.csv: a
    validation that comes sooner than a hundred times that is left out. The task that trains writes
    the whole page at its end.

    Args:
        folder: The run's.
        report: What has drawn heat maps; None where nothing does.
    """

    def __init__(self, folder: Path, report: ValidationReport | None = None) -> None:
        self.folder, self.report = folder, report
        self._cost_s = 0.0
        self._written_at_s = 0.0

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the page, if that is cheap enough."""
        began_s = time.monotonic()
        if not trainer.is_global_zero or self._cost_s > SHARE * (began_s - self._written_at_s):
            return
        self.save_heat_maps()
        write_page_or_warn(self.folder, drawings=False)
        self._written_at_s = time.monotonic()
        self._cost_s = self._written_at_s - began_s

    def save_heat_maps(self) -> None:
        """Write the heat maps of the last validation, which the page shows."""
        if self.report is not None and self.report.heat_maps is not None:
            save_pixels(self.report.heat_maps, self.folder / HEAT_MAPS)
