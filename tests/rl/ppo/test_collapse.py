"""A worse policy is told apart from chance differences between episodes."""

from __future__ import annotations

import numpy as np
import pytest

from infinito.rl.ppo.collapse import CollapseMonitor, measure_gap


def test_a_gap_is_found_where_there_is_one_and_seldom_where_there_is_none() -> None:
    draws = np.random.default_rng(0)
    assert measure_gap(draws.normal(1, 1, 40), draws.normal(0, 1, 40))[1] < 0.01
    alike = [measure_gap(draws.normal(size=20), draws.normal(size=20))[1] for _ in range(200)]
    assert np.mean(np.array(alike) < 0.05) == pytest.approx(0.05, abs=0.04)
    assert measure_gap(np.ones(3), np.ones(3)) == (0.0, 1.0)


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
