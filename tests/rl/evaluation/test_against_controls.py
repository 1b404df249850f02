"""A finished schedule is evaluated and reported; other settings and other runs are refused."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from infinito import run as program
from infinito.cli.composition import check
from infinito.config import RunConf
from infinito.errors import CheckpointError, ConfigError
from infinito.paths import conf_dir
from infinito.rl.evaluation.against_controls import print_report
from infinito.rl.evaluation.controls import CONTROLS

Make = Callable[..., RunConf]


pytestmark = pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")


def test_evaluate_and_report_a_run(rl_configured: Make, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    program.execute(rl_configured(), folder)
    overrides = [f"checkpoint={folder}", "trainer.threads=1", "rl.episodes=4"]
    excess = program.execute(check(["task=evaluate", *overrides], conf_dir()), tmp_path / "eval")
    report = json.loads((tmp_path / "eval/evaluation.json").read_text())
    names = [row["policy"] for row in report["policies"]]
    assert names == ["agent", "agent, sampled", *CONTROLS]
    assert report["policies"][0]["excess"]["mean"] == excess
    assert report["null_environment"]["contains_zero"]
    assert report["baseline"].startswith("static ")
    episodes = np.load(tmp_path / "eval/episodes.npz")
    assert episodes["agent/phi"].shape == (4, 4)
    program.execute(check(["task=report", *overrides[:2]], conf_dir()), tmp_path / "report")
    report = json.loads((tmp_path / "report/report.json").read_text())
    assert report["progress"]["steps"] == "45 of 45"
    assert [row["timesteps"] for row in report["checkpoints"]][1:] == [30, 45]
    for name in ("schedule", "checkpoints"):
        assert (tmp_path / f"report/{name}.png").stat().st_size > 10_000
    with pytest.raises(ConfigError, match=r"`rl.start_states` is fixed by `checkpoint`"):
        check(["task=evaluate", *overrides, "rl.start_states=9"], conf_dir())
    other = check(["task=evaluate", *overrides, "rl.reward.phi=0.7"], conf_dir())
    with pytest.raises(CheckpointError, match="reward: the agent has"):
        program.execute(other, tmp_path / "other")


def test_the_table_fits_80_columns() -> None:
    """Returns of five digits and shares of 100 % are the widest that should come."""
    interval = {"mean": -12.345, "low": -20.5, "high": -3.25}
    row = {
        "policy": "agent, sampled",
        "return": interval,
        "excess": interval,
        "final_perplexity": 14.834,
        "in_band": 0.375,
        "actions": {"TEXT": 1.0, "PHI": 0.0, "MIXED": 0.0},
    }
    file = io.StringIO()
    report = {
        "episodes": 24,
        "baseline": "static MIXED",
        "policies": [row],
        "verdict": "worse than static MIXED",
        "null_environment": {"mean": 0.0, "low": -0.001, "high": 0.001, "contains_zero": True},
    }
    print_report(Console(file=file, width=80), report)
    lines = file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    cells = "agent, sampled  -12.35  -12.35 [-20.50, -3.25]  14.83  38%  100/0/0"
    assert cells.split() in [line.split() for line in lines]
