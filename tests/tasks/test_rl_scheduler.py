"""The end of a schedule's training is a few figures; the bar knows how much work there is."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from infinito.config import RunConf
from infinito.tasks.rl_scheduler import build_bar, describe_results

Make = Callable[..., RunConf]

SUMMARY = {
    "val/return": -0.95513,
    "best_timesteps": 512,
    "timesteps": 2048,
    "collapsed": False,
    "rl/action/TEXT": 0.33,
    "rl/action/PHI": 0.36,
    "rl/action/MIXED": 0.31,
    "rl/phi": 3.238,
    "rl/in_band": 0.375,
    "rl/perplexity": 19.292,
    "rl/return_mean": -1.2243,
    "rl/return_spread": 1.25,
    "rl/kl_nats": 0.01,
}


def test_results_by_hand() -> None:
    assert describe_results(Path("run"), SUMMARY, 0) == {
        "best validation": "return -0.9551 at step 512 of 2,048",
        "last rollout": "return -1.224 ± 1.2, TEXT 33%, PHI 36%, MIXED 31%",
        "its models": "Φ 3.24, 38% in the band, perplexity 19.29",
        "all figures": Path("run/summary.json"),
    }


def test_a_collapse_is_reported() -> None:
    shown = describe_results(Path("run"), {**SUMMARY, "collapsed": True}, 3)
    assert shown["stopped"] == "3 validations in a row were significantly below the best"


def test_a_rollout_without_a_finished_episode_has_no_return() -> None:
    summary = {name: value for name, value in SUMMARY.items() if "/return_" not in name}
    shown = describe_results(Path("run"), summary, 0)
    assert shown["last rollout"] == "TEXT 33%, PHI 36%, MIXED 31%"


def test_a_run_with_nothing_left_to_do_has_only_its_best_validation() -> None:
    summary = {name: value for name, value in SUMMARY.items() if not name.startswith("rl/")}
    assert list(describe_results(Path("run"), summary, 0)) == ["best validation", "all figures"]


def test_the_bar_counts_rollouts_and_validations(rl_configured: Make) -> None:
    """Rollouts of 15 steps, validations of 2·4 episodes of 4 steps after each; 45 steps in all.

    With 15 done, two rollouts and two validations are left. One after every 30 steps: the last
    rollout is validated too.
    """
    console = Console(file=io.StringIO())
    assert build_bar(rl_configured(), 0, console).work == 45 + 3 * 32
    assert build_bar(rl_configured(), 15, console).work == 30 + 2 * 32
    assert build_bar(rl_configured("rl.validate_every=30"), 0, console).work == 45 + 2 * 32
    assert build_bar(rl_configured(), 45, console).work == 0
