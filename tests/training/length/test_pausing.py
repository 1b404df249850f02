"""A trial that pauses and goes on is the trial that never paused."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from infinito import run as program
from infinito.config import RunConf
from infinito.errors import ConfigError, ResumeError
from infinito.run_folder.series.metrics_file import CLOCKS
from infinito.training.length.pausing import STATE

Configured = Callable[..., RunConf]

CLOCKED = {"run", "step_s", "elapsed_s", "composite/speed", "composite"}


def figures(folder: Path) -> dict[str, object]:
    summary = json.loads((folder / "summary.json").read_text())
    return {name: value for name, value in summary.items() if name not in CLOCKED}


def curve(folder: Path) -> list[dict[str, str]]:
    """Rows of metrics.csv without validations on the way and clocks."""
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    kept = [key for key in rows[0] if key not in CLOCKS and not key.startswith("val/")]
    return [{key: row[key] for key in kept} for row in rows]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_two_pauses_change_no_bit(configured: Configured, tmp_path: Path, accumulate: int) -> None:
    """Of 6 steps the launches do 2, 2 and 2."""
    usual = ("task=trial", f"trainer.accumulate={accumulate}")
    program.execute(configured(*usual), tmp_path / "whole")
    state = tmp_path / "paused/0"
    paused = (*usual, f"trainer.paused_in={state}")
    losses = []
    for at, share in enumerate((1 / 3, 2 / 3, None)):
        words = paused if share is None else (*paused, f"trainer.pause_at={share!r}")
        folder = tmp_path / f"part{at}"
        losses.append(program.execute(configured(*words), folder))
        assert figures(folder)["steps"] == 2 * (at + 1)
        assert figures(folder)["stopped_early"] is False
    assert figures(tmp_path / "part2") == figures(tmp_path / "whole")
    assert curve(tmp_path / "part2") == curve(tmp_path / "whole")
    assert len(set(losses)) == 3
    assert (state / STATE).is_file()


def test_a_pause_at_the_end_is_none(configured: Configured, tmp_path: Path) -> None:
    words = ("task=trial", "trainer.pause_at=0.99", f"trainer.paused_in={tmp_path / 'state'}")
    program.execute(configured(*words), tmp_path / "run")
    assert figures(tmp_path / "run")["steps"] == 6
    assert not (tmp_path / "state").exists()


def test_the_state_of_another_trial_is_refused(configured: Configured, tmp_path: Path) -> None:
    words = ("task=trial", "trainer.pause_at=0.5", f"trainer.paused_in={tmp_path / 'state'}")
    program.execute(configured(*words), tmp_path / "run")
    with pytest.raises(ResumeError, match="holds a trial with other settings"):
        program.execute(configured(*words, "optimizer.lr=0.5"), tmp_path / "other")


@pytest.mark.parametrize(
    ("overrides", "fault"),
    [
        (["trainer.pause_at=0.5"], r"needs a folder for the trial's state, e.g. `trainer.paused"),
        (["trainer.paused_in=a", "trainer.patience=2"], "`trainer.patience=2` would judge"),
        (["trainer.paused_in=a", "optimizer.schedule=plateau"], "schedule=plateau` would judge"),
        (["trainer.pause_at=1.5", "trainer.paused_in=a"], "trainer.pause_at"),
    ],
)
def test_pauses_that_cannot_be(configured: Configured, overrides: list[str], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        configured("task=trial", *overrides)


def test_a_training_in_earnest_does_not_pause(configured: Configured) -> None:
    with pytest.raises(ConfigError, match=r"`trainer.pause_at` is not read by `task=train`"):
        configured("trainer.pause_at=0.5", "trainer.paused_in=a")
