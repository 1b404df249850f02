"""Intervals and verdicts say what they should."""

from __future__ import annotations

import numpy as np
import pytest

from infinito.rl.evaluation.comparison import bootstrap, describe_difference


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
    wide, narrow = bootstrap(values), bootstrap(values.ravel())
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)


def test_episodes_of_one_start_state_are_not_independent() -> None:
    """Ten start states of deviation s in 400 episodes: half-width 1.96·s/√10, not 1.96·s/√400."""
    draws, starts = np.random.default_rng(3), np.arange(400) % 10
    states = draws.normal(size=10)
    values = states[starts] + 0.1 * draws.normal(size=400)
    for found, count in ((bootstrap(values, starts), 10), (bootstrap(values), 400)):
        wanted = 1.96 * states.std() / count**0.5
        assert (found.high - found.low) / 2 == pytest.approx(wanted, rel=0.1)


def test_an_unequal_number_of_episodes_for_each_start_state() -> None:
    """One state of 1 with three episodes, one of 0 with one: draws are 0, 3/4 and 1."""
    found = bootstrap(np.array([1.0, 1, 1, 0]), np.array([5, 5, 5, 7]))
    assert vars(found) == {"mean": 0.75, "low": 0.0, "high": 1.0}


def test_verdicts() -> None:
    for low, high, words in (
        (0.1, 0.2, "better than static PHI"),
        (-0.2, -0.1, "worse than static PHI"),
        (-0.1, 0.1, "no difference to static PHI is shown"),
    ):
        assert describe_difference({"low": low, "high": high}, "static PHI") == words
