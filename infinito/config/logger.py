"""The schemas of the `logger` group: the dashboard that shows a training's curves."""

from __future__ import annotations

from dataclasses import dataclass

from infinito.config.limits import limited


@dataclass
class LoggerConf:
    """Where curves, samples and pictures go besides metrics.csv and report.html."""

    name: str = "tensorboard"
    """The dashboard, set by `logger=…`."""


@dataclass
class WandbConf(LoggerConf):
    """Weights & Biases: a run of a project, in its cloud or in a folder of this machine."""

    name: str = "wandb"
    project: str = limited("infinito", pattern=(r"[^/\\#?%:]+", "a name without any of `/\\#?%:`"))
    """The project that the run belongs to; made where there is none."""
    entity: str | None = None
    """User or team that the project belongs to; null for your own."""
    tags: list[str] = limited([])
    """Words to find the run by."""
    offline: bool = False
    """Write to `wandb/` in the run's folder alone; `wandb sync` sends it later."""


@dataclass
class MlflowConf(LoggerConf):
    """MLflow: a run of an experiment, on a tracking server or in a database file."""

    name: str = "mlflow"
    experiment: str = limited("infinito", pattern=(r"(?s).*\S.*", "a name"))
    """The experiment that the run belongs to; made where there is none."""
    tracking_uri: str | None = None
    """Server or database, such as `http://localhost:5000`; null for the environment variable
    MLFLOW_TRACKING_URI, or without it the database `mlflow.db` in `runs_dir`."""


@dataclass
class TrackioConf(LoggerConf):
    """Trackio: a run of a project, in a folder of this machine or on a server."""

    name: str = "trackio"
    project: str = limited("infinito", pattern=(r"(?s).*\S.*", "a name"))
    """The project that the run belongs to; made where there is none."""
    server_url: str | None = None
    """Server with its write token, as `trackio show` prints it; null for the folder that the
    environment variable TRACKIO_DIR names, or without it Trackio's own."""
