"""Trajectories hold what happened, and the steps on the way are counted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from infinito.config import RunConf
from infinito.rl.assembly import build_player
from infinito.rl.environment.shared_parts import SharedParts
from infinito.rl.evaluation.controls import CONTROLS

Make = Callable[..., RunConf]


def test_five_episodes_three_at_a_time(rl_configured: Make, shared: SharedParts) -> None:
    """Parts of 3 and 2 episodes of 4 steps; start states 0 to 3 and 0 again."""
    counted: list[int] = []
    played = build_player(rl_configured(), shared, "test", 5, on_step=counted.append)(
        CONTROLS["alternating"]
    )
    assert counted == [3] * 4 + [2] * 4
    assert played.starts.tolist() == [0, 1, 2, 3, 0]
    assert played.actions.tolist() == [[0, 1, 2, 0]] * 5
    assert played.phi.shape == played.perplexity.shape == played.in_band.shape == (5, 4)
    assert played.final_loss.shape == (5,)


def test_returns_are_the_sums_of_the_terms(rl_configured: Make, shared: SharedParts) -> None:
    played = build_player(rl_configured(), shared, "test", 3)(CONTROLS["static PHI"])
    terms = np.sum([each.sum(axis=1) for each in played.terms.values()], axis=0)
    assert played.returns == pytest.approx(terms)
