"""Pairs, intervals and tests say what they should, and null cases show nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from infinito import run as program
from infinito.build import rl as rl_build
from infinito.composition import check
from infinito.config import RunConf
from infinito.errors import CheckpointError
from infinito.paths import conf_dir
from infinito.rl.collapse import CollapseMonitor, decline_test, gap_test
from infinito.rl.controls import CONTROLS, PHI, TEXT
from infinito.rl.evaluation import bootstrap, bootstrap_clusters, table, verdict
from infinito.trainer.kept_checkpoints import prunable

Make = Callable[..., RunConf]

pytestmark = pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")


def test_the_interval_of_a_normal_mean() -> None:
    """400 draws of deviation 2: the half-width is about 1.96·2/20 = 0.196."""
    values = np.random.default_rng(0).normal(1.0, 2.0, size=400)
    found = bootstrap(values)
    assert found.mean == pytest.approx(values.mean())
    assert (found.high - found.low) / 2 == pytest.approx(0.196, rel=0.1)


def test_policies_that_differ_widen_the_interval_of_all() -> None:
    """Five policies of 100 episodes: their own spread of 1 must count, not the 500 episodes."""
    draws = np.random.default_rng(0)
    values = draws.normal(size=(5, 1)) + 0.1 * draws.normal(size=(5, 100))
    wide, narrow = bootstrap_clusters(values), bootstrap(values.ravel())
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)


def test_verdicts() -> None:
    for low, high, words in (
        (0.1, 0.2, "better than static PHI"),
        (-0.2, -0.1, "worse than static PHI"),
        (-0.1, 0.1, "no difference to static PHI is shown"),
    ):
        assert verdict({"low": low, "high": high}, "static PHI") == words


def test_every_policy_meets_the_same_episodes(rl_configured: Make, ground: rl_build.Ground) -> None:
    play = rl_build.player(rl_configured(), ground, "test", 6)
    played = {name: play(choose) for name, choose in CONTROLS.items()}
    first = played["static TEXT"]
    assert all(np.array_equal(each.starts, first.starts) for each in played.values())
    again = play(CONTROLS["random"])
    assert np.array_equal(again.returns, played["random"].returns)
    assert not np.array_equal(again.actions[0], again.actions[1])
    (row, *_) = table(played, "static TEXT")
    assert row["excess"] == {"mean": 0.0, "low": 0.0, "high": 0.0}
    assert row["actions"] == {"TEXT": 1.0, "PHI": 0.0, "MIXED": 0.0}


def test_how_many_run_side_by_side_changes_nothing(
    rl_configured: Make, ground: rl_build.Ground
) -> None:
    few, many = (
        rl_build.player(rl_configured(f"rl.envs={envs}"), ground, "test", 5)(CONTROLS["random"])
        for envs in (2, 5)
    )
    assert np.array_equal(few.actions, many.actions)
    np.testing.assert_allclose(few.returns, many.returns, rtol=1e-3, atol=1e-3)


def test_the_band_heuristic_and_alternation(new_episodes: Callable[..., object]) -> None:
    episodes = new_episodes(2)
    episodes.restart(np.array([True, True]))  # type: ignore[attr-defined]
    episodes.metrics = episodes.metrics._replace(loss_phi=np.array([0.0, 0.4]))  # type: ignore[attr-defined]
    assert CONTROLS["band heuristic"](episodes).tolist() == [TEXT, PHI]  # type: ignore[arg-type]
    assert CONTROLS["alternating"](episodes).tolist() == [0, 0]  # type: ignore[arg-type]
    episodes.steps += 4  # type: ignore[attr-defined]
    assert CONTROLS["alternating"](episodes).tolist() == [1, 1]  # type: ignore[arg-type]


def test_in_the_null_environment_nobody_beats_random(
    rl_configured: Make, ground: rl_build.Ground
) -> None:
    play = rl_build.player(rl_configured(), ground, "test", 6, null=True)
    random = play(CONTROLS["random"]).returns
    for choose in CONTROLS.values():
        assert np.array_equal(play(choose).returns, random)


def test_a_gap_is_found_where_there_is_one_and_seldom_else() -> None:
    draws = np.random.default_rng(0)
    assert gap_test(draws.normal(1, 1, 40), draws.normal(0, 1, 40))[1] < 0.01
    alike = [gap_test(draws.normal(size=20), draws.normal(size=20))[1] for _ in range(200)]
    assert np.mean(np.array(alike) < 0.05) == pytest.approx(0.05, abs=0.04)
    assert gap_test(np.ones(3), np.ones(3)) == (0.0, 1.0)


def test_collapse_needs_significant_declines_in_a_row() -> None:
    best = np.linspace(0, 1, 20)
    monitor = CollapseMonitor(patience=2)
    assert monitor.judge(best) == 1.0
    assert monitor.judge(best - 0.5) < 0.01
    assert not monitor.collapsed
    assert monitor.judge(best - 0.001 + 0.1 * np.sin(np.arange(20))) > 0.01
    assert monitor.declined == 0
    for _ in range(2):
        monitor.judge(best - 0.5 + 0.01 * np.cos(np.arange(20)))
    assert monitor.collapsed
    again = CollapseMonitor(patience=2)
    again.load_state_dict(monitor.state_dict())
    assert again.collapsed
    assert decline_test(best, best) == 1.0


def test_pruning_by_hand(tmp_path: Path) -> None:
    """every:20 of 10, 25, 30, 40, 55: the first at or after 20 and 40; 55 is before 60."""
    for steps in (10, 25, 30, 40, 55):
        (tmp_path / f"step_{steps:09d}.ckpt").touch()
    (tmp_path / "best.ckpt").touch()
    gone = [int(path.stem.removeprefix("step_")) for path in prunable(tmp_path, ["every:20"])]
    assert gone == [10, 30, 55]


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
    other = check(["task=evaluate", *asked, "rl.reward.phi=0.7"], conf_dir())
    with pytest.raises(CheckpointError, match="reward: the agent has"):
        program.execute(other, tmp_path / "other")


def test_a_report_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is no run of a schedule"):
        program.execute(check(["task=report", "checkpoint=/nowhere"], conf_dir()), tmp_path / "r")
