"""Trackio, by the package trackio."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from infinito.config import TrackioConf
from infinito.errors import LoggerError
from infinito.extras import require_extra
from infinito.training.dashboards.dashboard import name_run
from infinito.wording import describe_error


class TrackioTracking(Logger):
    """A run in a project of Trackio, begun at once; Lightning has no logger for it.

    A resumed run logs the steps after its checkpoint again, with the same values.

    Args:
        settings: The configuration.
        folder: The run's.
        run_id: Name of the run that a resumed training goes on with; None for a new one.
        hparams: The settings that the run is compared by.

    Attributes:
        experiment: Trackio's own run.
        place: The server, Space or folder in which the project is kept.

    Raises:
        MissingExtraError: trackio is not installed.
        LoggerError: Trackio does not begin the run.
    """

    def __init__(
        self, settings: TrackioConf, folder: Path, run_id: str | None, hparams: Mapping[str, Any]
    ) -> None:
        super().__init__()
        require_extra("trackio")
        import trackio
        from trackio.utils import TRACKIO_DIR

        self._project = settings.project
        self.place = settings.server_url or str(TRACKIO_DIR)
        try:
            with _silence():
                self.experiment = trackio.init(
                    settings.project,
                    name=run_id or name_run(folder),
                    server_url=settings.server_url,
                    config=dict(hparams),
                    resume="allow" if run_id else "never",
                    embed=False,
                    auto_log_cpu=False,
                    auto_log_gpu=False,
                )
        except (ValueError, OSError) as error:
            raise LoggerError(
                f"`logger`=trackio does not begin a run at {self.place}: {describe_error(error)} "
                "Set `logger.server_url`, or the environment variable TRACKIO_DIR for another "
                "folder, or use `logger=tensorboard`"
            ) from error

    @property
    def name(self) -> str:
        """The project."""
        return self._project

    @property
    def version(self) -> str:
        """The name of the run."""
        return str(self.experiment.name)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log figures of a step."""
        self.experiment.log(dict(metrics), step=step)

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """Do nothing: the run has begun with its settings."""

    def show_picture(self, name: str, pixels: np.ndarray, step: int) -> None:
        """Add a picture to the media of the run."""
        import trackio

        self.experiment.log({name: trackio.Image(pixels)}, step=step)

    def show_text(self, name: str, text: str, step: int) -> None:
        """Add a text in Markdown."""
        import trackio

        self.experiment.log({name: trackio.Markdown(text)}, step=step)

    def show_score(self, hparams: Mapping[str, Any], name: str, score: float, step: int) -> None:
        """Log the score as a figure."""
        self.log_metrics({name: score}, step)

    def flush(self) -> None:
        """Do nothing: a thread of Trackio's writes all the time."""

    def close(self) -> None:
        """Wait until all is written."""
        import trackio
        from trackio.context_vars import current_run

        if current_run.get() is self.experiment:  # at exit Trackio would finish it once more
            with _silence():
                trackio.finish()

    def finalize(self, status: str) -> None:
        """Write what a run that has failed has logged; one that has succeeded is closed later."""
        if status != "success":
            self.close()


def _silence() -> redirect_stdout[io.StringIO]:
    """Return a context in which Trackio prints nothing: infinito says itself where the run is."""
    return redirect_stdout(io.StringIO())
