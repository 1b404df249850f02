"""Trials as arrays."""

from __future__ import annotations

import math

import numpy as np

from infinito.search.evidence import EARLIER_SEARCH, VIRTUAL_REWARD, Evidence, compute_rewards
from infinito.search.trials import Trial


def test_scores_that_are_no_numbers_count_as_failures() -> None:
    """A finished trial of NaN, from a table of earlier trials, has the worst loss and not none."""
    trials = [
        Trial(0, {}, (3.0,), "finished"),
        Trial(1, {}, (math.nan,), "finished"),
        Trial(0, {}, None, "failed"),
        Trial(1, {}, None, "running"),
    ]
    evidence = Evidence.collect(np.zeros((4, 1)), trials[:2], trials[2:], [1.0])
    losses = evidence.scalarise()
    assert losses[:3].tolist() == [3.0, 3.0, 3.0]
    assert math.isnan(losses[3])
    assert evidence.numbers.tolist() == [EARLIER_SEARCH, EARLIER_SEARCH, 0, 1]


def test_a_running_trial_is_a_virtual_loss() -> None:
    rewards = compute_rewards(np.array([2.0, math.nan, 1.0]))
    assert rewards.tolist() == [0.0, VIRTUAL_REWARD, 1.0]
