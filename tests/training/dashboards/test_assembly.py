"""Which loggers a run opens, and that no choice of them changes what is computed."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lightning import Trainer

from infinito.cli.composition import check
from infinito.config import MlflowConf, TrackioConf, WandbConf
from infinito.errors import ConfigError, MissingExtraError
from infinito.models.checkpoint_file import read_checkpoint
from infinito.paths import conf_dir
from infinito.run_folder.series.metrics_file import CLOCKS, read_metrics
from infinito.training.dashboards.assembly import build_loggers, read_run_id
from infinito.training.dashboards.dashboard import Dashboard, list_dashboards, name_run
from infinito.training.dashboards.tensorboard import TensorBoard
from infinito.training.report.metrics_logger import MetricsLogger

Train = Callable[..., Path]

PACKAGES = ("wandb", "mlflow", "trackio")


@pytest.fixture
def without_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the packages of dashboards look as if they were not installed."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        "infinito.extras.find_spec", lambda name: None if name in PACKAGES else find_spec(name)
    )


@pytest.mark.parametrize(
    ("choice", "kinds"),
    [("tensorboard", [TensorBoard, MetricsLogger]), ("none", [MetricsLogger]),
     ("csv", [MetricsLogger])],
)  # fmt: skip
def test_every_run_has_metrics_csv_and_the_chosen_dashboard(
    tmp_path: Path, choice: str, kinds: list[type]
) -> None:
    conf = check([f"logger={choice}"], conf_dir())
    loggers = build_loggers(conf, tmp_path, None)
    assert [type(each) for each in loggers] == kinds
    trainer = Trainer(logger=loggers, accelerator="cpu", enable_checkpointing=False)
    assert list_dashboards(trainer) == [each for each in loggers if isinstance(each, Dashboard)]


def test_without_a_dashboard_a_training_gives_the_same_bits_and_figures(trained: Train) -> None:
    shown, silent = trained(), trained("logger=none", folder="silent")
    assert list(shown.glob("events.out.tfevents.*"))
    assert not list(silent.glob("events.out.tfevents.*"))
    assert not (silent / "hparams.yaml").exists()
    weights = [
        read_checkpoint(folder / "checkpoints/last.ckpt")["state_dict"]
        for folder in (shown, silent)
    ]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    first, second = (
        {name: each for name, each in read_metrics(folder).items() if name not in CLOCKS}
        for folder in (shown, silent)
    )
    assert first == second
    assert (silent / "report.html").is_file()


def test_a_run_is_named_by_its_folder_wherever_the_command_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert name_run(Path("multirun/base/a")) == "base/a"
    assert name_run(Path("a")) == f"{tmp_path.name}/a"


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.usefixtures("without_packages")
def test_a_dashboard_that_is_not_installed_is_refused_by_its_extra(package: str) -> None:
    wanted = rf"`logger`={package}: this needs {package}, .*infinito\[{package}\].*tensorboard"
    with pytest.raises(ConfigError, match=wanted):
        check([f"logger={package}"], conf_dir())


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.usefixtures("without_packages")
def test_the_library_names_the_extra_too(tmp_path: Path, package: str) -> None:
    conf = check([], conf_dir())
    choices = {"wandb": WandbConf(), "mlflow": MlflowConf(), "trackio": TrackioConf()}
    conf.logger = choices[package]
    with pytest.raises(MissingExtraError, match=rf"infinito\[{package}\]"):
        build_loggers(conf, tmp_path, None)


@pytest.mark.parametrize("task", ["trial", "reproducibility", "pipeline", "list"])
def test_a_task_without_a_dashboard_refuses_the_key(task: str) -> None:
    with pytest.raises(ConfigError, match=rf"`logger` is not read by `task={task}`"):
        check([f"task={task}", "logger=none"], conf_dir())


def test_an_unknown_dashboard_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"logger.*tensorbord.*did you mean .*tensorboard"):
        check(["logger=tensorbord"], conf_dir())


def test_a_key_of_another_dashboard_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"`logger.project`.*there is no such key"):
        check(["logger.project=mine"], conf_dir())


@pytest.mark.parametrize("name", ["a/b", ""])
def test_a_project_that_wandb_refuses_is_refused_at_once(name: str) -> None:
    pytest.importorskip("wandb")
    with pytest.raises(ConfigError, match=r"`logger.project`=.*expected a name without"):
        check(["logger=wandb", f"logger.project='{name}'"], conf_dir())


def test_the_run_of_a_dashboard_is_read_from_the_folder(tmp_path: Path) -> None:
    assert read_run_id(tmp_path) is None
    (tmp_path / "logger.json").write_text(json.dumps({"name": "wandb", "run_id": "a1"}))
    assert read_run_id(tmp_path) == "a1"
