"""A training that was stopped anywhere and resumed ends with the same bits as one that was not."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from infinito import run as program
from infinito.cli.continuation import effective_values
from infinito.cli.typed_values import parse
from infinito.config import RunConf
from infinito.errors import ResumeError
from infinito.models.checkpoint_file import read_checkpoint, write_checkpoint
from infinito.run_folder.folder import saved_values
from infinito.run_folder.series.metrics_file import read_metrics
from infinito.training.callbacks.interruption import Interrupted
from infinito.training.module.language_model import LanguageModelTask
from tests.conftest import TINY
from tests.equal_metrics import figures_of
from tests.kills import whole_and_killed
from tests.same_runs import assert_same_checkpoints, assert_same_summary

Trained = Callable[..., Path]

WHOLE = ("model.dropout=0.1", "trainer.max_steps=12", "trainer.validate_every=5")
"""Dropout, so that randomness inside a batch counts; validations off the step grid."""


def weights(folder: Path, name: str = "last") -> dict[str, torch.Tensor]:
    return read_checkpoint(folder / f"checkpoints/{name}.ckpt")["state_dict"]


def assert_same_run(one: Path, other: Path) -> None:
    assert_same_checkpoints(one, other)
    assert_same_summary(one, other)
    for name in ("step", "val/loss", "train/loss", "val_attention/entropy/layer_1"):
        assert name in read_metrics(one)
    assert figures_of(one) == figures_of(other)
    assert (one / "samples.jsonl").read_bytes() == (other / "samples.jsonl").read_bytes()


def logged_steps(folder: Path) -> dict[str, list[int]]:
    events = EventAccumulator(str(folder)).Reload()
    names = ("train/loss", "val/loss")
    return {name: [event.step for event in events.Scalars(name)] for name in names}


def resumed(folder: Path, **changes: object) -> None:
    values = effective_values(
        {**saved_values(folder), "resume": str(folder), **changes}, [f"resume={folder}"]
    )
    program.execute(parse(values), folder)


def stop_at(monkeypatch: pytest.MonkeyPatch, hook: str, call: int, number: int) -> None:
    """Sends this process a signal in the `call`-th call of a hook of the task."""
    original = getattr(LanguageModelTask, hook)
    calls = []

    def hooked(self: LanguageModelTask, *args: object, **kwargs: object) -> object:
        calls.append(1)
        if len(calls) == call:
            os.kill(os.getpid(), number)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(LanguageModelTask, hook, hooked)


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize(
    ("hook", "call", "number", "code"),
    [
        ("training_step", 3, signal.SIGTERM, 143),
        ("training_step", 10, signal.SIGINT, 130),
        ("validation_step", 2, signal.SIGHUP, 129),
        ("on_validation_epoch_end", 2, signal.SIGTERM, 143),
        ("on_validation_model_eval", 3, signal.SIGTERM, 143),  # after the last batch
    ],
)
def test_signals_save_stop_and_resume_exactly(
    trained: Trained,
    monkeypatch: pytest.MonkeyPatch,
    hook: str,
    call: int,
    number: int,
    code: int,
    accumulate: int,
) -> None:
    options = (*WHOLE, f"trainer.accumulate={accumulate}")
    whole = trained(*options, folder="whole")
    with monkeypatch.context() as patch:
        stop_at(patch, hook, call, number)
        with pytest.raises(Interrupted, match="resume=") as stopped:
            trained(*options, folder="stopped")
    assert stopped.value.exit_code == code
    folder = whole.parent / "stopped"
    assert not (folder / "summary.json").exists()
    resumed(folder)
    assert_same_run(whole, folder)
    assert logged_steps(whole) == logged_steps(folder)


@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
def test_stopping_early_and_plateaus_are_resumed(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, schedule: str
) -> None:
    """A rate too small to change a weight: no validation after the first is better."""
    options = (
        "trainer.max_steps=40",
        "trainer.validate_every=2",
        "trainer.patience=2",
        "optimizer.lr=1e-30",
        f"optimizer.schedule={schedule}",
        "optimizer.plateau_patience=0",
    )
    whole = trained(*options, folder="whole")
    assert json.loads((whole / "summary.json").read_text())["stopped_early"]
    with monkeypatch.context() as patch:
        stop_at(patch, "training_step", 5, signal.SIGTERM)
        with pytest.raises(Interrupted):
            trained(*options, folder="stopped")
    resumed(whole.parent / "stopped")
    assert_same_run(whole, whole.parent / "stopped")


def test_resuming_a_finished_run_changes_nothing(finished: Trained) -> None:
    folder = finished()
    before = weights(folder)
    first = json.loads((folder / "summary.json").read_text())
    resumed(folder)
    again = json.loads((folder / "summary.json").read_text())
    own = {key: again[key] for key in ("run", "elapsed_s")}
    assert again == {**first, **own}, "sample and tokens_per_s included"
    assert all(torch.equal(before[key], value) for key, value in weights(folder).items())


def test_another_configuration_is_refused_with_the_difference(finished: Trained) -> None:
    folder = finished()
    values = {**saved_values(folder), "resume": str(folder)}
    values["optimizer"] = {**values["optimizer"], "lr": 0.5}
    with pytest.raises(ResumeError, match=r"optimizer\.lr: the run has 0\.001.* asks for 0\.5"):
        effective_values(values, [f"resume={folder}", "optimizer.lr=0.5"])


def stopped_after_three_steps(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, *options: str
) -> Path:
    with monkeypatch.context() as patch:
        stop_at(patch, "training_step", 3, signal.SIGTERM)
        with pytest.raises(Interrupted) as stopped:
            trained(*options)
    return Path(re.search("resume=(.*)", str(stopped.value))[1])  # type: ignore[index]


def test_a_changed_text_is_refused_by_its_name(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text_file: Path
) -> None:
    text = tmp_path / "mine.txt"
    text.write_bytes(text_file.read_bytes())
    folder = stopped_after_three_steps(trained, monkeypatch, f"data.path={text}")
    text.write_bytes(text_file.read_bytes().swapcase())
    with pytest.raises(ResumeError, match=rf"train text \(text of {text}\)(.*\n)+Put it back"):
        resumed(folder)
    text.write_bytes(text_file.read_bytes())
    resumed(folder)


def test_a_relative_text_is_that_of_the_folder_of_the_start(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text_file: Path
) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    (tmp_path / "here/mine.txt").write_bytes(text_file.read_bytes())
    (tmp_path / "there/mine.txt").write_bytes(text_file.read_bytes().swapcase())
    monkeypatch.chdir(tmp_path / "here")
    folder = stopped_after_three_steps(trained, monkeypatch, "data.path=mine.txt")
    monkeypatch.chdir(tmp_path / "there")
    resumed(folder)
    assert json.loads((folder / "summary.json").read_text())["steps"] == 6


def test_an_edited_configuration_is_refused(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = stopped_after_three_steps(trained, monkeypatch)
    path = folder / "config.yaml"
    path.write_text(path.read_text().replace("lr: 0.001", "lr: 0.1"))
    with pytest.raises(ResumeError, match=r"optimizer.lr: the run began with 0.001, .* 0.1"):
        resumed(folder)


def test_the_threads_of_the_start_are_used_again(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.set_num_threads(1)
    folder = stopped_after_three_steps(trained, monkeypatch, "trainer.threads=null")
    torch.set_num_threads(2)
    resumed(folder)
    assert torch.get_num_threads() == 1
    assert "began with 1 CPU threads" in capsys.readouterr().err


def test_a_run_without_a_record_goes_on_and_says_so_once(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = stopped_after_three_steps(trained, monkeypatch)
    path = folder / "checkpoints/last.ckpt"
    checkpoint = read_checkpoint(path)
    del checkpoint["run"]
    write_checkpoint(checkpoint, path)
    resumed(folder)
    assert "begun before runs recorded" in capsys.readouterr().err
    resumed(folder)
    assert "begun before runs recorded" not in capsys.readouterr().err


def test_nothing_to_resume_is_an_error(configured: Callable[..., RunConf], tmp_path: Path) -> None:
    for target, part in (
        ("last", "no run under"),
        (str(tmp_path / "absent"), "there is no such run folder"),
        (str(tmp_path), "holds no checkpoints/last.ckpt"),
    ):
        with pytest.raises(ResumeError, match=part):
            configured(f"resume={target}")


@pytest.mark.slow
def test_ten_kills_at_random_moments(text_file: Path, tmp_path: Path) -> None:
    """SIGKILL, ten times, mid-epoch, mid-validation or mid-save, as it falls."""
    arguments = [
        *TINY,
        *WHOLE,
        f"data.path={text_file}",
        f"data.cache_dir={tmp_path / 'cache'}",
        f"runs_dir={tmp_path / 'runs'}",
        "trainer.max_steps=1500",
        "trainer.validate_every=40",
        "trainer.checkpoint_every=7",
    ]
    whole, killed = whole_and_killed(tmp_path, arguments)
    assert_same_run(whole, killed)
