"""Controls do what their names say, on the same episodes; where nothing changes, none is better."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from infinito.config import RunConf
from infinito.rl.assembly import build_player
from infinito.rl.environment.episodes import Episodes
from infinito.rl.environment.shared_parts import SharedParts
from infinito.rl.evaluation.comparison import compare_policies
from infinito.rl.evaluation.controls import CONTROLS, PHI, TEXT

Make = Callable[..., RunConf]


def test_every_policy_meets_the_same_episodes(rl_configured: Make, shared: SharedParts) -> None:
    play = build_player(rl_configured(), shared, "test", 6)
    played = {name: play(choose) for name, choose in CONTROLS.items()}
    first = played["static TEXT"]
    assert all(np.array_equal(each.starts, first.starts) for each in played.values())
    again = play(CONTROLS["random"])
    assert np.array_equal(again.returns, played["random"].returns)
    assert not np.array_equal(again.actions[0], again.actions[1])
    (row, *_) = compare_policies(played, "static TEXT")
    assert row["excess"] == {"mean": 0.0, "low": 0.0, "high": 0.0}
    assert row["actions"] == {"TEXT": 1.0, "PHI": 0.0, "MIXED": 0.0}


def test_how_many_run_side_by_side_changes_nothing(
    rl_configured: Make, shared: SharedParts
) -> None:
    few, many = (
        build_player(rl_configured(f"rl.n_envs={envs}"), shared, "test", 5)(CONTROLS["random"])
        for envs in (2, 5)
    )
    assert np.array_equal(few.actions, many.actions)
    np.testing.assert_allclose(few.returns, many.returns, rtol=1e-3, atol=1e-3)


def test_the_band_heuristic_and_alternation(build_environments: Callable[..., Episodes]) -> None:
    episodes = build_environments(2)
    episodes.restart(np.array([True, True]))
    episodes.metrics = episodes.metrics._replace(loss_phi=np.array([0.0, 0.4]))
    assert CONTROLS["band heuristic"](episodes).tolist() == [TEXT, PHI]
    assert CONTROLS["alternating"](episodes).tolist() == [0, 0]
    episodes.steps += 4
    assert CONTROLS["alternating"](episodes).tolist() == [1, 1]


def test_in_the_null_environment_nobody_beats_random(
    rl_configured: Make, shared: SharedParts
) -> None:
    play = build_player(rl_configured(), shared, "test", 6, null=True)
    random = play(CONTROLS["random"]).returns
    for choose in CONTROLS.values():
        assert np.array_equal(play(choose).returns, random)
