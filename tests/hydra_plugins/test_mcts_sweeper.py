"""Sweeps as a user starts, kills and resumes them, of an application of a few milliseconds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from infinito.search.history import attempts_in, trials_in
from infinito.search.journal import read
from infinito.search.trials import Trial

APP = Path(__file__).with_name("tiny_app.py")
SPACE = ("x=interval(0.0,1.0)", "lr=tag(log,interval(1e-4,1e-1))", "n=range(1,9)", "kind=good,bad")

Tiny = Callable[..., subprocess.CompletedProcess[str]]


def arguments(*overrides: str, trials: int = 6, folder: str = "sweep") -> list[str]:
    fixed = [f"hydra.sweeper.n_trials={trials}", "hydra.sweeper.report=false"]
    return [sys.executable, str(APP), *SPACE, *fixed, f"hydra.sweep.dir={folder}", *overrides]


@pytest.fixture
def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "HYDRA_FULL_ERROR": "1", "COLUMNS": "200"}


@pytest.fixture
def tiny(tmp_path: Path, environment: dict[str, str]) -> Tiny:
    """Runs a sweep of the application in an empty folder."""

    def call(*overrides: str, **names: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            arguments(*overrides, **names),
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return call


def trials_of(folder: Path) -> list[Trial]:
    return trials_in(read(folder / "journal.jsonl"))


def proposals(folder: Path) -> list[dict[str, Any]]:
    return [trial.params for trial in trials_of(folder)]


def states(folder: Path) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {"finished": [], "failed": [], "running": []}
    for trial in trials_of(folder):
        found[trial.state].append(trial.number)
    return found


def test_a_sweep_leaves_results_in_the_usual_shape(tiny: Tiny, tmp_path: Path) -> None:
    finished = tiny(trials=5)
    assert finished.returncode == 0, finished.stderr
    folder = tmp_path / "sweep"
    trials = trials_of(folder)
    own = dict(trials[0].params)
    assert own.pop("kind") == "good"
    assert own == pytest.approx({"x": 0.5, "lr": 0.01, "n": 4})
    best = min(trials, key=lambda trial: trial.values or ())
    results = OmegaConf.to_container(OmegaConf.load(folder / "optimization_results.yaml"))
    assert results == {
        "name": "infinito_mcts",
        "trials": 5,
        "finished": 5,
        "failed": 0,
        "best_params": best.params,
        "best_value": best.values[0] if best.values else None,
    }
    assert (folder / "multirun.yaml").is_file()
    assert len((folder / "trials.csv").read_text().splitlines()) == 6
    assert "5 trials are done" in finished.stdout
    assert "a trial's own output" not in finished.stdout
    assert "a trial's own output" in (folder / "0/output.log").read_text()


def test_crash_nan_hang_and_a_killed_process_do_not_end_a_sweep(tiny: Tiny, tmp_path: Path) -> None:
    faults = ("crash=[1]", "nan=[2]", "hang=[3]", "die=[4]", "hydra.sweeper.isolate=true")
    limits = ("hydra.sweeper.trial_timeout_s=1", "hydra.sweeper.max_failure_rate=0.7")
    finished = tiny(*faults, *limits)
    assert finished.returncode == 0, finished.stderr
    assert states(tmp_path / "sweep") == {"finished": [0, 5], "failed": [1, 2, 3, 4], "running": []}
    errors = [trial.error for trial in trials_of(tmp_path / "sweep")]
    assert errors[1] == "RuntimeError: boom"
    assert errors[2] == "ValueError: the score is nan, which is not finite"
    assert errors[3] == "stopped after 1 s, the limit of `hydra.sweeper.trial_timeout_s`"
    assert errors[4] == "the trial's process ended (SIGKILL)"
    assert "RuntimeError: boom" in (tmp_path / "sweep/1/error.txt").read_text()


@pytest.mark.slow
def test_five_kills_lose_and_repeat_nothing(
    tiny: Tiny, tmp_path: Path, environment: dict[str, str]
) -> None:
    """20 trials of which 3 crash, 1 returns NaN and 1 hangs, killed 5 times on the way."""
    faults = ("crash=[2,7,11]", "nan=[5]", "hang=[9]", "seconds=0.15")
    command = (*faults, "hydra.sweeper.trial_timeout_s=1")
    assert tiny(*command, trials=20, folder="calm").returncode == 0
    for kill in range(5):
        resume = ["hydra.sweeper.resume=killed"] if kill else []
        sweep = subprocess.Popen(
            arguments(*command, *resume, trials=20, folder="killed"),
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.DEVNULL,
        )
        wait_for_trial(tmp_path / "killed", 3 * kill + 2)
        time.sleep(0.02 * kill)
        sweep.send_signal(signal.SIGKILL)
        sweep.wait()
    finished = tiny(*command, "hydra.sweeper.resume=killed", trials=20, folder="ignored")
    assert finished.returncode == 0, finished.stderr
    assert not (tmp_path / "ignored").exists()
    folder = tmp_path / "killed"
    assert states(folder) == {
        "finished": [n for n in range(20) if n not in (2, 5, 7, 9, 11)],
        "failed": [2, 5, 7, 9, 11],
        "running": [],
    }
    assert proposals(folder) == proposals(tmp_path / "calm")
    assert [t.values for t in trials_of(folder)] == [t.values for t in trials_of(tmp_path / "calm")]
    events = read(folder / "journal.jsonl")
    ends = Counter(event["number"] for event in events if event["event"] in ("finish", "fail"))
    assert ends == dict.fromkeys(range(20), 1)
    done = Counter(map(int, (folder / "done").read_text().split()))
    assert max(done.values()) == 1
    assert sum(attempts_in(events).values()) <= 20 + 5


def wait_for_trial(folder: Path, number: int) -> None:
    """Returns once a trial has been started."""
    journal = folder / "journal.jsonl"
    for _ in range(2000):
        if journal.is_file() and attempts_in(read(journal))[number]:
            return
        time.sleep(0.01)
    raise AssertionError(f"trial {number} never started")
