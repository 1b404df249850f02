"""A finished schedule is evaluated and reported; what does not belong to it is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from infinito import run as program
from infinito.cli.composition import check
from infinito.config import RunConf
from infinito.errors import CheckpointError, ConfigError
from infinito.paths import conf_dir
from infinito.rl.evaluation.controls import CONTROLS
from infinito.tasks.report import read_progress

Make = Callable[..., RunConf]


pytestmark = pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")


def test_evaluate_and_report_a_run(rl_configured: Make, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    program.execute(rl_configured(), folder)
    asked = [f"checkpoint={folder}", "trainer.threads=1", "rl.episodes=4"]
    excess = program.execute(check(["task=evaluate", *asked], conf_dir()), tmp_path / "eval")
    report = json.loads((tmp_path / "eval/evaluation.json").read_text())
    names = [row["policy"] for row in report["policies"]]
    assert names == ["agent", "agent, sampled", *CONTROLS]
    assert report["policies"][0]["excess"]["mean"] == excess
    assert report["null_environment"]["contains_zero"]
    assert report["baseline"].startswith("static ")
    episodes = np.load(tmp_path / "eval/episodes.npz")
    assert episodes["agent/phi"].shape == (4, 4)
    program.execute(check(["task=report", *asked], conf_dir()), tmp_path / "report")
    told = json.loads((tmp_path / "report/report.json").read_text())
    assert told["progress"]["steps"] == "45 of 45"
    assert [row["timesteps"] for row in told["checkpoints"]][1:] == [30, 45]
    for name in ("schedule", "checkpoints"):
        assert (tmp_path / f"report/{name}.png").stat().st_size > 10_000
    with pytest.raises(ConfigError, match=r"`rl.start_states` is fixed by `checkpoint`"):
        check(["task=evaluate", *asked, "rl.start_states=9"], conf_dir())
    other = check(["task=evaluate", *asked, "rl.reward.phi=0.7"], conf_dir())
    with pytest.raises(CheckpointError, match="reward: the agent has"):
        program.execute(other, tmp_path / "other")


def test_a_run_that_has_logged_nothing_yet_is_at_step_0(tmp_path: Path) -> None:
    assert read_progress(tmp_path, 2048) == {"steps": "0 of 2,048"}


def test_a_report_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is no run of a schedule"):
        program.execute(check(["task=report", "checkpoint=/nowhere"], conf_dir()), tmp_path / "r")
