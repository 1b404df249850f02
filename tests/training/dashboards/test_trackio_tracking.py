"""Trackio in a folder of this machine: what a training writes, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from infinito.config import TrackioConf
from infinito.errors import LoggerError
from infinito.run_folder.series.metrics_file import read_metrics
from infinito.training.dashboards.trackio_tracking import TrackioTracking

pytest.importorskip("trackio")
pytestmark = pytest.mark.filterwarnings("default")  # trackio's own are many

Train = Callable[..., Path]


def test_a_training_writes_what_tensorboard_would_show(
    trained: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    from trackio.sqlite_storage import SQLiteStorage

    folder = trained("logger=trackio", "logger.project=sheep")
    assert "*" not in capsys.readouterr().out  # its own lines begin so
    found = json.loads((folder / "logger.json").read_text())
    assert found["name"] == "trackio"
    assert SQLiteStorage.get_runs("sheep") == [found["run_id"]]
    assert SQLiteStorage.get_run_config("sheep", found["run_id"])["model.dim"] == 16
    rows = SQLiteStorage.get_logs("sheep", found["run_id"])
    losses = [row["train/loss"] for row in rows if "train/loss" in row]
    assert losses == [value for value in read_metrics(folder)["train/loss"] if value is not None]
    logged = {name for row in rows for name in row}
    assert {"val/loss", "val_score/val/loss", "sample", "val_attention/weights"} <= logged
    pictures = list(Path(found["place"]).glob("media/sheep/**/*.png"))
    assert len(pictures) == 2  # a validation each


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        (TrackioConf(project="sheep_system"), "sheep_system"),
        (TrackioConf(server_url="127.0.0.1:9"), "http:// or https://"),
    ],
)
def test_what_trackio_refuses_is_said_before_training(
    tmp_path: Path, settings: TrackioConf, cause: str
) -> None:
    wanted = rf"`logger`=trackio does not begin a run at .*{cause}.*logger.server_url"
    with pytest.raises(LoggerError, match=wanted):
        TrackioTracking(settings, tmp_path, None, {})
