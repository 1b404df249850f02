"""The bar counts rollouts and validations alike; a log file gets lines of at most 80 columns."""

from __future__ import annotations

import io
import time
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console

from infinito.rl.ppo.rollout_bar import RolloutBar

REPORT = {"rl/return_mean": -1.2243, "rl/phi": 3.238, "rl/perplexity": 19.29}


def module(timesteps: int) -> Any:
    return SimpleNamespace(last_report=REPORT, timesteps=timesteps)


def bar_on(file: io.StringIO, terminal: bool, done: int = 0) -> RolloutBar:
    """A training of 2,048 steps with two validations of 240 steps each."""
    console = Console(file=file, force_terminal=terminal, width=80)
    return RolloutBar(2048, 240, 2, done, console)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_the_time_left_counts_the_validations(clock: list[float]) -> None:
    """632 of 2048 + 2·240 = 2528 steps took 10 s: 3 times as many are left, 30 s."""
    bar = bar_on(io.StringIO(), terminal=False)
    clock[0] += 10
    bar.advance(392)
    bar.advance(240)
    assert bar.estimate_left_s() == pytest.approx(30.0)


@pytest.mark.usefixtures("clock")
def test_a_resumed_training_has_less_work() -> None:
    bar = bar_on(io.StringIO(), terminal=False, done=1024)
    assert bar.work == 1024 + 2 * 240
    assert bar.estimate_left_s() == 0.0  # nothing has been measured yet


def test_a_log_file_has_a_line_for_each_rollout_and_validation(clock: list[float]) -> None:
    file = io.StringIO()
    bar = bar_on(file, terminal=False)
    trainer: Any = SimpleNamespace(
        callback_metrics={
            "val/return": torch.tensor(-0.9551),
            "val/gap": torch.tensor(0.234),
            "val/gap_p": torch.tensor(0.36),
        }
    )
    bar.on_train_start(trainer, module(0))
    clock[0] += 60
    bar.advance(512)
    bar.on_train_batch_end(trainer, module(512), None, 0, 0)
    bar.on_validation_end(trainer, module(512))
    bar.teardown(trainer, module(512), "fit")
    rollout, validation = file.getvalue().splitlines()
    assert rollout == "step 512/2,048  return -1.224  Φ 3.24  perplexity 19.29  0:03:56 left"
    assert validation.startswith("step 512/2,048  validation return -0.955  +0.234 on training")
    assert max(map(len, (rollout, validation))) <= 80


def test_a_terminal_has_a_bar_with_step_and_return(clock: list[float]) -> None:
    file = io.StringIO()
    bar = bar_on(file, terminal=True)
    bar.on_train_start(SimpleNamespace(), module(0))  # type: ignore[arg-type]
    clock[0] += 60
    bar.on_train_batch_end(SimpleNamespace(), module(1024), None, 0, 0)  # type: ignore[arg-type]
    bar.advance(1264)
    bar.teardown(SimpleNamespace(), module(1024), "fit")  # type: ignore[arg-type]
    drawn = file.getvalue()
    assert "step 1,024/2,048" in drawn
    assert "return -1.224" in drawn
    assert "50%" in drawn
