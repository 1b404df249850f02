"""Weights & Biases, by the package wandb."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers import WandbLogger

from infinito.config import WandbConf
from infinito.errors import LoggerError
from infinito.extras import require_extra
from infinito.training.dashboards.dashboard import name_run
from infinito.wording import describe_error


class WeightsAndBiases(WandbLogger):
    """A run in a project of Weights & Biases, begun at once.

    A resumed run logs the steps after its checkpoint again, with the same values.

    Args:
        settings: The configuration.
        folder: The run's; what wandb writes lies in its folder `wandb`.
        run_id: Of the run that a resumed training goes on with; None for a new one.
        hparams: The settings that the run is compared by.

    Raises:
        MissingExtraError: wandb is not installed.
        LoggerError: wandb does not begin the run: nobody is logged in, or nothing answers.
    """

    def __init__(
        self, settings: WandbConf, folder: Path, run_id: str | None, hparams: Mapping[str, Any]
    ) -> None:
        require_extra("wandb")
        import wandb

        if wandb.run is not None:  # of a run in this process that failed after its training
            wandb.run.finish(exit_code=1)
        super().__init__(
            name=name_run(folder),
            save_dir=folder,
            id=run_id,
            project=settings.project,
            entity=settings.entity,
            tags=list(settings.tags),
            mode="offline" if settings.offline else "online",
            settings=wandb.Settings(console="off", silent=True),
        )
        try:
            _ = self.experiment
        except wandb.Error as error:
            raise LoggerError(
                f"`logger`=wandb does not begin a run: {describe_error(error)} Use "
                "`wandb login`, or `logger.offline=true` to send the run later, or "
                "`logger=tensorboard`"
            ) from error
        self.log_hyperparams(dict(hparams))

    @property
    def place(self) -> str:
        """The address of the run; the folder of one that is not sent yet."""
        run = self.experiment
        return str(run.settings.sync_dir if run.offline else run.url)

    def show_picture(self, name: str, pixels: np.ndarray, step: int) -> None:
        """Add a picture to the media of the run."""
        self.log_image(name, [pixels], step=step)

    def show_text(self, name: str, text: str, step: int) -> None:
        """Add a table that holds the text."""
        super().log_text(name, ["step", "text"], [[str(step), text]], step=step)

    def show_score(self, hparams: Mapping[str, Any], name: str, score: float, step: int) -> None:
        """Write the score into the summary, by which runs of a project are sorted."""
        self.experiment.summary[name] = score

    def flush(self) -> None:
        """Do nothing: wandb writes by itself."""

    def close(self) -> None:
        """Wait until all is written, and sent where it is to be."""
        self.experiment.finish()

    def finalize(self, status: str) -> None:
        """End a run that has failed; one that has succeeded gets its score first."""
        super().finalize(status)
        if status != "success":
            self.experiment.finish(exit_code=1)
