"""`task=trial` learns what `task=train` learns, and leaves only numbers."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from signal import SIGTERM

import pytest

from infinito import run as program
from infinito.config import RunConf
from infinito.data.reuse import reused_data
from infinito.errors import CheckpointError, ConfigError
from infinito.run_folder.series.metrics_file import read_metrics
from infinito.training.callbacks.interruption import Interrupted
from infinito.training.callbacks.step_clock import StepClock
from infinito.training.report.composite import composite

Configured = Callable[..., RunConf]


def test_equal_to_the_training_it_stands_for(configured: Configured, tmp_path: Path) -> None:
    program.execute(configured(), tmp_path / "train")
    score = program.execute(configured("task=trial"), tmp_path / "trial")
    trained, tried = (
        json.loads((tmp_path / name / "summary.json").read_text()) for name in ("train", "trial")
    )
    assert score == tried["val/loss"] == pytest.approx(trained["val/loss"], abs=1e-6)
    assert tried["parameters"] == trained["parameters"]
    assert tried["steps"] == trained["steps"] == 6
    left = sorted(path.name for path in (tmp_path / "trial").iterdir())
    assert left == ["config.yaml", "metrics.csv", "overrides.yaml", "run.log", "summary.json"]
    figures = read_metrics(tmp_path / "trial")
    assert figures["step"] == [1, 2, 3, 4, 5, 6]
    assert figures["val/loss"][-1] == pytest.approx(score)


@pytest.mark.parametrize(
    "options",
    [
        (
            "objective=language_phi",
            "objective.lambda_phi=5",
            "memory=integration",
            "model.memory.segment=8",
        ),
        ("trainer.patience=1", "trainer.validate_every=1", "optimizer.lr=1e-30"),
        ("optimizer.schedule=plateau", "optimizer.plateau_patience=0", "optimizer.lr=3"),
    ],
    ids=["phi and memory", "patience", "plateau"],
)
def test_honours_what_a_training_does(
    configured: Configured, tmp_path: Path, options: tuple[str, ...]
) -> None:
    options = ("trainer.max_steps=4", "trainer.validate_every=2", *options)
    program.execute(configured(*options), tmp_path / "train")
    program.execute(configured("task=trial", *options), tmp_path / "trial")
    trained, tried = (
        json.loads((tmp_path / name / "summary.json").read_text()) for name in ("train", "trial")
    )
    for key in tried.keys() & trained.keys() - {"run", "elapsed_s"}:
        assert tried[key] == pytest.approx(trained[key], rel=1e-5), key


def test_starts_from_a_checkpoint(configured: Configured, tmp_path: Path) -> None:
    program.execute(configured(), tmp_path / "first")
    options = (f"checkpoint={tmp_path / 'first'}", "optimizer.lr=1e-12")
    score = program.execute(configured("task=trial", *options), tmp_path / "trial")
    first = json.loads((tmp_path / "first/summary.json").read_text())
    assert score == pytest.approx(first["val/loss"], abs=1e-5)
    with pytest.raises(CheckpointError, match="holds no model"):
        program.execute(configured("task=trial", "checkpoint=/absent"), tmp_path / "none")


def test_every_figure_can_be_the_score(configured: Configured, tmp_path: Path) -> None:
    score = program.execute(configured("task=trial", "score=parameters"), tmp_path / "one")
    assert score == json.loads((tmp_path / "one/summary.json").read_text())["parameters"]
    scores = program.execute(
        configured("task=trial", "score='val/loss, composite'"), tmp_path / "two"
    )
    summary = json.loads((tmp_path / "two/summary.json").read_text())
    assert scores == [summary["val/loss"], summary["composite"]]
    with pytest.raises(ConfigError, match="`score`=val/lost: `task=trial` has no such figure"):
        program.execute(configured("task=trial", "score=val/lost"), tmp_path / "none")


def test_composite_by_hand() -> None:
    """(10 − 4) + 0.5·0.8 + (1 − 0.25) = 7.15; beyond a ceiling a term is 0."""
    terms = composite(loss=4.0, entropy=0.8, step_s=0.25, entropy_weight=0.5)
    assert terms == {
        "composite": pytest.approx(7.15),
        "composite/loss": 6.0,
        "composite/entropy": 0.4,
        "composite/speed": 0.75,
    }
    assert composite(12.0, 0.8, 3.0, 0.0)["composite"] == 0
    assert math.isnan(composite(math.nan, 0.8, 0.25, 0.5)["composite"])


def test_composite_rewards_entropy_whatever_it_does_to_the_text() -> None:
    better = composite(loss=4.0, entropy=0.1, step_s=0.1, entropy_weight=1.0)
    spread = composite(loss=4.5, entropy=0.9, step_s=0.1, entropy_weight=1.0)
    assert spread["composite"] > better["composite"]


def test_sigterm_stops_a_trial_as_a_signal_and_not_as_a_failure(
    configured: Configured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StepClock, "on_train_batch_end", lambda *_: os.kill(os.getpid(), SIGTERM))
    with pytest.raises(Interrupted, match="stopped by SIGTERM") as raised:
        program.execute(configured("task=trial"), tmp_path / "trial")
    assert raised.value.exit_code == 128 + SIGTERM
    assert not (tmp_path / "trial/summary.json").exists()


def test_text_and_tokenizer_are_read_once(configured: Configured) -> None:
    first = reused_data(configured("task=trial"))
    second = reused_data(configured("task=trial", "data.batch_size=2", "seed=1"))
    other = reused_data(configured("task=trial", "data.block_size=8"))
    assert second.tokenizer is first.tokenizer
    assert second.split_meta("train") is first.split_meta("train")
    assert (first.batch_size, second.batch_size, other.block_size) == (4, 2, 8)
    assert second.seed != first.seed
    assert len(second.blocks("valid")) == len(first.blocks("valid")) != len(other.blocks("valid"))
