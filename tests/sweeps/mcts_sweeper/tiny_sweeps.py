"""Commands that sweep the tiny application, and what their folders say."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from infinito.search.trials import Trial
from infinito.sweeps.record.history import count_attempts, read_trials
from infinito.sweeps.record.journal import read

APP = Path(__file__).with_name("tiny_app.py")
SPACE = ("x=interval(0.0,1.0)", "lr=tag(log,interval(1e-4,1e-1))", "n=range(1,9)", "kind=good,bad")

ENOUGH_S = 300.0
"""Longest wait for a single thing to happen, on a busy machine."""

Tiny = Callable[..., subprocess.CompletedProcess[str]]
Swept = Callable[..., Path]


def arguments(*overrides: str, trials: int = 6, folder: str = "sweep") -> list[str]:
    fixed = [f"hydra.sweeper.n_trials={trials}", "hydra.sweeper.report=false"]
    return [sys.executable, str(APP), *SPACE, *fixed, f"hydra.sweep.dir={folder}", *overrides]


def trials_of(folder: Path) -> list[Trial]:
    return read_trials(read(folder / "journal.jsonl"))


def proposals(folder: Path) -> list[dict[str, Any]]:
    return [trial.params for trial in trials_of(folder)]


def scores_of(folder: Path) -> list[float]:
    """The first scores of the trials that finished, in their order."""
    return [trial.values[0] for trial in trials_of(folder) if trial.values is not None]


def states(folder: Path) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {"finished": [], "failed": [], "running": []}
    for trial in trials_of(folder):
        found.setdefault(trial.state, []).append(trial.number)
    return found


def wait_for_trial(folder: Path, number: int) -> None:
    """Returns once a trial has been started."""
    journal = folder / "journal.jsonl"
    until_s = time.monotonic() + ENOUGH_S
    while not (journal.is_file() and count_attempts(read(journal))[number]):
        assert time.monotonic() < until_s, f"trial {number} never started"
        time.sleep(0.01)
