"""MLflow, by the package mlflow."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers import MLFlowLogger

from infinito.config import MlflowConf
from infinito.errors import LoggerError
from infinito.extras import require_extra
from infinito.training.dashboards.dashboard import name_run
from infinito.wording import describe_error

RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
"""MLflow's environment variable; its default waits for four minutes where no server answers."""
TRACKING = "MLFLOW_TRACKING_URI"


class MlflowTracking(MLFlowLogger):
    """A run in an experiment of MLflow, begun at once.

    A resumed run logs the steps after its checkpoint again, with the same values.

    Args:
        settings: The configuration.
        folder: The run's.
        runs_dir: Where the database lies if nothing names another.
        run_id: Of the run that a resumed training goes on with; None for a new one.
        hparams: The settings that the run is compared by.

    Raises:
        MissingExtraError: mlflow is not installed.
        LoggerError: MLflow does not begin the run.
    """

    def __init__(
        self,
        settings: MlflowConf,
        folder: Path,
        runs_dir: Path,
        run_id: str | None,
        hparams: Mapping[str, Any],
    ) -> None:
        require_extra("mlflow")
        from mlflow.exceptions import MlflowException

        self.place = find_tracking_uri(settings, runs_dir)
        try:
            with own_environment():
                super().__init__(
                    experiment_name=settings.experiment,
                    run_name=name_run(folder),
                    tracking_uri=self.place,
                    artifact_location=find_artifacts(self.place, runs_dir),
                    run_id=run_id,
                )
                _ = self.run_id
        except MlflowException as error:
            raise LoggerError(
                f"`logger`=mlflow does not begin a run at {self.place}: "
                f"{describe_error(error)} Set `logger.tracking_uri`, e.g. "
                "`logger.tracking_uri=http://localhost:5000`, or use `logger=tensorboard`"
            ) from error
        self.log_hyperparams(dict(hparams))

    def show_picture(self, name: str, pixels: np.ndarray, step: int) -> None:
        """Add a picture to the artifacts of the run."""
        self.experiment.log_image(self.run_id, pixels, key=name, step=step)

    def show_text(self, name: str, text: str, step: int) -> None:
        """Add a file of Markdown to the artifacts of the run."""
        self.experiment.log_text(self.run_id, text, f"{name}/step_{step}.md")

    def show_score(self, hparams: Mapping[str, Any], name: str, score: float, step: int) -> None:
        """Log the score as a figure."""
        self.log_metrics({name: score}, step)

    def flush(self) -> None:
        """Do nothing: each call writes."""

    def close(self) -> None:
        """Mark the run as finished."""
        self.finalize("success")


def find_tracking_uri(settings: MlflowConf, runs_dir: Path) -> str:
    """Return where a run is logged: a server, or a database in `runs_dir`."""
    given = settings.tracking_uri or os.environ.get(TRACKING)
    return given or f"sqlite:///{runs_dir.absolute()}/mlflow.db"


def find_artifacts(place: str, runs_dir: Path) -> str | None:
    """Return the folder for pictures and texts; None where a server says it."""
    return None if place.startswith("http") else (runs_dir.absolute() / "mlruns").as_uri()


@contextmanager
def own_environment() -> Iterator[None]:
    """Let MLflow's requests in the block fail soon, and undo what it sets for later runs.

    MLflow writes the server that it was given into MLFLOW_TRACKING_URI; the user's number of
    retries holds.
    """
    before = {name: os.environ.get(name) for name in (RETRIES, TRACKING)}
    os.environ.setdefault(RETRIES, "1")
    try:
        yield
    finally:
        for name, value in before.items():
            if value is not None:
                os.environ[name] = value
            elif name in os.environ:
                del os.environ[name]
