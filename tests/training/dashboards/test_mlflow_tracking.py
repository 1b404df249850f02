"""MLflow without a server: what a training writes, and what is refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from infinito.config import MlflowConf
from infinito.errors import LoggerError
from infinito.run_folder.series.metrics_file import read_metrics
from infinito.training.dashboards.mlflow_tracking import (
    RETRIES,
    TRACKING,
    MlflowTracking,
    find_artifacts,
    find_tracking_uri,
)

Train = Callable[..., Path]

pytestmark = pytest.mark.filterwarnings("default")  # mlflow's own are many


def test_a_run_goes_to_the_server_that_is_named_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert find_tracking_uri(MlflowConf(), tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://one")
    assert find_tracking_uri(MlflowConf(), tmp_path) == "http://one"
    assert find_tracking_uri(MlflowConf(tracking_uri="http://two"), tmp_path) == "http://two"


def test_a_server_keeps_pictures_itself(tmp_path: Path) -> None:
    assert find_artifacts("http://one", tmp_path) is None
    assert find_artifacts("sqlite:///a.db", tmp_path) == f"file://{tmp_path}/mlruns"


def test_a_training_writes_what_tensorboard_would_show(trained: Train) -> None:
    tracking = pytest.importorskip("mlflow.tracking")
    folder = trained("logger=mlflow", "logger.experiment=sheep")
    found = json.loads((folder / "logger.json").read_text())
    client = tracking.MlflowClient(found["place"])
    run = client.get_run(found["run_id"])
    assert client.get_experiment(run.info.experiment_id).name == "sheep"
    assert run.info.status == "FINISHED"
    assert run.data.params["model.dim"] == "16"
    losses = [each.value for each in client.get_metric_history(found["run_id"], "train/loss")]
    assert losses == [value for value in read_metrics(folder)["train/loss"] if value is not None]
    assert "val_score/val/loss" in run.data.metrics
    assert [each.path for each in client.list_artifacts(found["run_id"], "sample")]
    assert client.list_artifacts(found["run_id"], "images")


def test_a_server_that_does_not_answer_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.delenv(RETRIES, raising=False)
    settings = MlflowConf(tracking_uri="http://127.0.0.1:9")
    wanted = r"`logger`=mlflow does not begin a run at http://127.0.0.1:9: .*logger.tracking_uri="
    monkeypatch.delenv(TRACKING, raising=False)
    with pytest.raises(LoggerError, match=wanted):
        MlflowTracking(settings, tmp_path, tmp_path, None, {})
    assert not {RETRIES, TRACKING} & set(os.environ)
