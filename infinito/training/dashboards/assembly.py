"""Opens the loggers of a run: metrics.csv in every one, and the dashboard that `logger` names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from rich.console import Console
from rich.markup import escape

from infinito.config import MlflowConf, RunConf, TrackioConf, WandbConf
from infinito.run_folder.records import write_json
from infinito.run_folder.series.metrics_file import MetricsFile
from infinito.training.dashboards.mlflow_tracking import MlflowTracking
from infinito.training.dashboards.tensorboard import TensorBoard
from infinito.training.dashboards.trackio_tracking import TrackioTracking
from infinito.training.dashboards.weights_and_biases import WeightsAndBiases
from infinito.training.recording import is_first_process
from infinito.training.report.hyperparameters import list_hyperparameters
from infinito.training.report.metrics_logger import MetricsLogger

RECORD = "logger.json"
"""File of a run's folder that names its run in a dashboard elsewhere."""


def build_loggers(
    conf: RunConf,
    folder: Path,
    resumed_step: int | None,
    per_step: Mapping[str, float] | None = None,
    console: Console | None = None,
) -> list[Logger]:
    """Return the dashboard, if there is one, and what writes metrics.csv.

    Args:
        conf: The configuration of the run.
        folder: The run's.
        resumed_step: What was logged up to this step stays; what came after it is hidden in
            TensorBoard and goes from metrics.csv.
        per_step: Columns of metrics.csv that grow with the step; see `MetricsFile`.
        console: Where to say at which address a dashboard elsewhere shows the run.

    Raises:
        MissingExtraError: the package of the dashboard is not installed.
        LoggerError: the dashboard does not open.
    """
    metrics = MetricsLogger(MetricsFile(folder, per_step, resumed_step))
    hparams = list_hyperparameters(conf)
    if conf.logger.name == "tensorboard":
        return [TensorBoard(folder, resumed_step, hparams), metrics]
    if conf.logger.name == "none" or not is_first_process():
        return [metrics]
    run_id = read_run_id(folder) if resumed_step is not None else None
    remote = open_remote(conf, folder, run_id, hparams)
    write_json(
        folder / RECORD,
        {"name": conf.logger.name, "run_id": remote.version, "place": remote.place},
    )
    if console is not None:
        console.print(
            f"[bold]dashboard[/]  {escape(remote.place)}", highlight=False, soft_wrap=True
        )
    return [remote, metrics]


def open_remote(
    conf: RunConf, folder: Path, run_id: str | None, hparams: Mapping[str, Any]
) -> WeightsAndBiases | MlflowTracking | TrackioTracking:
    """Return a dashboard that keeps runs in a place of its own, with a run begun or gone on with.

    Args:
        conf: The configuration of the run.
        folder: The run's.
        run_id: What the dashboard calls a resumed run; None for a new one.
        hparams: The settings that runs are compared by.
    """
    settings = conf.logger
    if isinstance(settings, WandbConf):
        return WeightsAndBiases(settings, folder, run_id, hparams)
    if isinstance(settings, TrackioConf):
        return TrackioTracking(settings, folder, run_id, hparams)
    assert isinstance(settings, MlflowConf)
    return MlflowTracking(settings, folder, Path(conf.runs_dir), run_id, hparams)


def read_run_id(folder: Path) -> str | None:
    """Return what the dashboard calls the run of a folder; None where none was begun."""
    path = folder / RECORD
    return str(json.loads(path.read_text("utf-8"))["run_id"]) if path.is_file() else None
