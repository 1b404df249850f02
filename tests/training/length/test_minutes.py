"""A run of `trainer.minutes` is one of `trainer.max_steps`, as many as were found to fit."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from infinito import run as program
from infinito.config import RunConf
from infinito.errors import ConfigError, ReportedElsewhere
from infinito.run_folder.folder import saved_values
from infinito.training.callbacks.cost_clock import Costs
from infinito.training.callbacks.interruption import Interrupted
from infinito.training.length import minutes
from infinito.training.module.language_model import LanguageModelTask
from tests.training.test_resume import assert_same_run, resumed

Configured = Callable[..., RunConf]

WHOLE = ("trainer.validate_every=5", "model.dropout=0.1")
QUICK = ("trainer.minutes=0.01", "trainer.max_steps=null", *WHOLE)


@pytest.fixture
def seven_steps(monkeypatch: pytest.MonkeyPatch) -> list[Costs]:
    """Let the measuring take place, note its figures, and find room for seven steps."""
    measured = []
    measure = minutes.measure_costs

    def costs_of(conf: RunConf, data: object) -> Costs:
        measured.append(measure(conf, data))  # type: ignore[arg-type]
        return Costs(1.0, 0.0, 0.0)

    monkeypatch.setattr(minutes, "measure_costs", costs_of)
    count = minutes.count_steps
    monkeypatch.setattr(
        minutes, "count_steps", lambda conf, windows, costs, _: count(conf, windows, costs, 7.5)
    )
    return measured


def test_it_is_bit_for_bit_the_run_of_as_many_steps(
    trained: Callable[..., Path], seven_steps: list[Costs], capsys: pytest.CaptureFixture[str]
) -> None:
    timed = trained(*QUICK, folder="timed")
    said = "0.01 minutes are 7 steps at 1.0 s and 2 validations at 0 s"
    assert said in capsys.readouterr().out
    assert said in (timed / "run.log").read_text()
    (costs,) = seven_steps
    assert min(costs.step_s, costs.validation_s, costs.save_s) > 0
    counted = trained(*WHOLE, "trainer.max_steps=7", folder="counted")
    assert (timed / "config.yaml").read_bytes() == (counted / "config.yaml").read_bytes()
    assert saved_values(timed)["trainer"]["minutes"] is None
    assert_same_run(timed, counted)
    resumed(timed)
    assert_same_run(timed, counted)


def test_steps_by_hand(configured: Configured) -> None:
    """43 windows make 10 batches an epoch. Three steps of 2 batches take 3 s and a validation after
    every 4 batches, which saves twice, takes 2 + 2 · 0.5 s: 4 of 13 s are steps 1 to 4, with the
    two validations after steps 2 and 4; the fifth needs a third validation."""
    conf = configured(
        "trainer.minutes=1",
        "trainer.max_steps=null",
        "trainer.accumulate=2",
        "trainer.validate_every=4",
    )
    costs = Costs(step_s=1.0, validation_s=2.0, save_s=0.5)
    counts = {s: minutes.count_steps(conf, 43, costs, s) for s in (-5, 3.9, 4, 9, 10, 13.9, 14)}
    assert counts == {-5: 0, 3.9: 0, 4: 1, 9: 3, 10: 4, 13.9: 4, 14: 5}


def test_a_regular_save_takes_its_time(configured: Configured) -> None:
    conf = configured(
        "trainer.minutes=1",
        "trainer.max_steps=null",
        "trainer.checkpoint_every=2",
        "trainer.validate_every=null",
    )
    fixed = minutes.with_steps(conf, 5)
    assert minutes.estimate_seconds(fixed, 43, Costs(1.0, 10.0, 3.0)) == 5 + 10 + 2 * 3 + 2 * 3


def test_too_short_a_time_says_what_would_do(configured: Configured) -> None:
    conf = configured("trainer.minutes=0.0001", "trainer.max_steps=null")
    with pytest.raises(ConfigError, match=r"too short for one step .*trainer\.minutes=0\.\d+` or"):
        minutes.fix_length(conf, Console(quiet=True))


def test_too_short_a_time_is_printed_by_the_first_process_alone(
    configured: Configured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(minutes, "is_first_process", lambda: False)
    conf = configured("trainer.minutes=0.0001", "trainer.max_steps=null")
    with pytest.raises(ReportedElsewhere) as caught:
        minutes.fix_length(conf, Console(quiet=True))
    assert caught.value.exit_code == ConfigError.exit_code


@pytest.mark.usefixtures("seven_steps")
def test_a_warm_up_beyond_the_end_is_refused(configured: Configured) -> None:
    conf = configured(*QUICK, "optimizer.warmup_steps=7")
    with pytest.raises(ConfigError, match=r"7 steps.*`optimizer\.warmup_steps`=7 does not end"):
        minutes.fix_length(conf, Console(quiet=True))


def test_a_signal_while_measuring_ends_the_run(
    configured: Configured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    step = LanguageModelTask.training_step

    def stopped(self: LanguageModelTask, *args: object) -> object:
        os.kill(os.getpid(), signal.SIGTERM)
        return step(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(LanguageModelTask, "training_step", stopped)
    with pytest.raises(Interrupted, match="while the time of a step was measured") as raised:
        program.execute(configured("trainer.minutes=1", "trainer.max_steps=null"), tmp_path / "run")
    assert raised.value.exit_code == 143
    assert not (tmp_path / "run").exists()
