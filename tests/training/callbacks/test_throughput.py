"""Tokens of closed windows over their seconds, also where a training goes on from a checkpoint."""

from __future__ import annotations

import time

import pytest

from infinito.training.callbacks.throughput import Throughput


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands where its only entry says, in seconds."""
    now_s = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now_s[0])
    return now_s


def test_validation_between_windows_is_not_counted(clock: list[float]) -> None:
    counted = Throughput()
    for start_s in (0.0, 100.0):  # 98 s of validation between them
        clock[0] = start_s
        counted.start_batch()
        counted.count(30)
        clock[0] += 2.0
        assert counted.close_window() == 15.0
    assert counted.mean_tokens_per_s == 15.0


def test_an_open_window_survives_a_checkpoint(clock: list[float]) -> None:
    stopped, resumed = Throughput(), Throughput()
    stopped.start_batch()
    stopped.count(30)
    clock[0] = 3.0
    state = stopped.state_dict()
    clock[0] = 50.0
    resumed.load_state_dict(state)
    resumed.start_batch()
    resumed.count(30)
    clock[0] = 53.0
    assert resumed.close_window() == 10.0
    assert resumed.state_dict()["tokens"] == 60


def test_a_dropped_window_counts_nothing() -> None:
    counted = Throughput()
    counted.count(30)
    counted.drop_window()
    assert counted.state_dict()["window_tokens"] == 0
    assert counted.mean_tokens_per_s is None
