"""Weights & Biases without a network: what a training writes, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from infinito.config import WandbConf
from infinito.errors import LoggerError
from infinito.models.checkpoint_file import read_checkpoint
from infinito.run_folder.series.metrics_file import read_metrics
from infinito.training.dashboards.weights_and_biases import WeightsAndBiases
from tests.training.dashboards.records import read_records

pytest.importorskip("wandb")
pytestmark = pytest.mark.filterwarnings("default")  # wandb's own are many

Train = Callable[..., Path]


def test_a_training_writes_what_tensorboard_would_show(trained: Train) -> None:
    plain = trained("logger=none", folder="plain")
    folder = trained("logger=wandb", "logger.offline=true", "logger.tags=[first,small]")
    weights = [
        read_checkpoint(each / "checkpoints/last.ckpt")["state_dict"] for each in (plain, folder)
    ]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    records = read_records(*folder.glob("wandb/offline-run-*/run-*.wandb"))
    (run,) = {(each.run.run_id, each.run.project) for each in records if each.HasField("run")}
    found = json.loads((folder / "logger.json").read_text())
    assert found["name"] == "wandb"
    assert (found["run_id"], "infinito") == run
    assert Path(found["place"]).is_dir()
    rows = [
        {item.key or item.nested_key[0]: json.loads(item.value_json)
         for item in each.history.item}
        for each in records if each.HasField("history")
    ]  # fmt: skip
    losses = [row["train/loss"] for row in rows if "train/loss" in row]
    assert losses == [value for value in read_metrics(folder)["train/loss"] if value is not None]
    assert {"val/loss", "sample", "val_attention/weights"} <= {name for row in rows for name in row}
    pictures = list(folder.glob("wandb/offline-run-*/files/media/images/**/*.png"))
    assert len(pictures) == 2  # a validation each
    assert not list(folder.glob("events.out.tfevents.*"))


def test_runs_of_one_process_are_runs_of_their_own(trained: Train) -> None:
    folders = [
        trained("logger=wandb", "logger.offline=true", f"seed={seed}", folder=f"run_{seed}")
        for seed in (0, 1)
    ]
    names = {json.loads((each / "logger.json").read_text())["run_id"] for each in folders}
    assert len(names) == 2


def test_nobody_logged_in_is_said_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    wanted = r"`logger`=wandb does not begin a run: .*`wandb login`, or `logger.offline=true`"
    with pytest.raises(LoggerError, match=wanted):
        WeightsAndBiases(WandbConf(), tmp_path, None, {})
