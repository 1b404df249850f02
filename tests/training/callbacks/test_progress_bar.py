"""The bar counts validations in, and its lines are printed whether or not it is drawn."""

from __future__ import annotations

import io
import pickle
import time

import pytest
from rich.console import Console

from infinito.training.callbacks.progress_bar import TrainingBar
from infinito.training.callbacks.throughput import Throughput
from infinito.training.length.planning import Length


def test_the_time_left_holds_the_validations_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """10 batches in 20 s and a validation of 5 s; 90 batches and 9 validations are to come."""
    monkeypatch.setattr(time, "perf_counter", lambda: 25.0)
    bar = TrainingBar(Length(50, 100, 100, 10), 4, Throughput(), Console(file=io.StringIO()))
    bar._done, bar._validations, bar._validation_s = 10, 1, 5.0
    assert bar._time_left(9) == "0:03:45"
    bar._validations, bar._validation_s = 0, 0.0
    assert bar._time_left(10) == "0:04:18", "90 · 2.5 s and 10 · 4 · 2.5 s / 3"


def test_a_bar_goes_to_another_process_without_its_console() -> None:
    bar = TrainingBar(Length(5, 10, 10, 5), 2, Throughput(), Console(file=io.StringIO()))
    copy = pickle.loads(pickle.dumps(bar))
    assert copy.length == bar.length
    assert copy.console is not bar.console
