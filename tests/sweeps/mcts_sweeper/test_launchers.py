"""Sweeps through Hydra's launchers: batches, other launchers, and trials in flight."""

from __future__ import annotations

import importlib
import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hydra.core.plugins import Plugins

from infinito.sweeps.record.journal import read
from tests.sweeps.mcts_sweeper.tiny_sweeps import (
    Swept,
    Tiny,
    arguments,
    proposals,
    states,
    trials_of,
    wait_for_trial,
)


def test_batches_through_the_launcher_repeat_themselves(swept: Swept) -> None:
    batches = ("hydra.sweeper.n_jobs=2", "hydra.sweeper.asynchronous=false")
    first = swept(*batches, "hydra.sweeper.n_trials=5")
    starts = [event["numbers"] for event in read(first / "journal.jsonl") if "numbers" in event]
    assert starts == [[0, 1], [2, 3], [4]]
    second = swept(*batches, "hydra.sweeper.n_trials=5", folder="second")
    other = swept("hydra.sweeper.seed=1", "hydra.sweeper.n_trials=5", folder="other")
    assert proposals(first) == proposals(second) != proposals(other)


@pytest.mark.slow
@pytest.mark.parametrize("isolate", [False, True])
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_other_launchers_run_the_same_sweep(
    tiny: Tiny, tmp_path: Path, launcher: str, isolate: bool
) -> None:
    package = {"joblib": "joblib", "submitit_local": "submitit"}[launcher]
    pytest.importorskip(f"hydra_plugins.hydra_{package}_launcher", reason=f"no {launcher} launcher")
    batches = (
        "hydra.sweeper.n_jobs=2",
        "hydra.sweeper.asynchronous=false",
        "crash=[1]",
        "hydra.sweeper.trial_timeout_s=60",
    )
    assert tiny(*batches, trials=4, folder="basic").returncode == 0
    own = (f"hydra/launcher={launcher}", f"hydra.sweeper.isolate={isolate}")
    finished = tiny(*batches, *own, trials=4, folder=launcher)
    assert finished.returncode == 0, finished.stderr
    assert states(tmp_path / launcher) == states(tmp_path / "basic")
    assert proposals(tmp_path / launcher) == proposals(tmp_path / "basic")


@pytest.mark.slow
def test_a_killed_sweep_of_submitit_goes_on(
    tiny: Tiny, tmp_path: Path, environment: dict[str, str]
) -> None:
    """The driver is killed twice; what it had submitted ends by itself, as jobs of a cluster do."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="no submitit launcher")
    command = (
        "hydra/launcher=submitit_local", "hydra.sweeper.n_jobs=2",
        "hydra.sweeper.asynchronous=false", "seconds=0.1",
    )  # fmt: skip
    for kill in range(2):
        resume = ["hydra.sweeper.resume=killed"] if kill else []
        sweep = subprocess.Popen(
            arguments(*command, *resume, trials=8, folder="killed"),
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for_trial(tmp_path / "killed", 2 * kill + 2)
        sweep.send_signal(signal.SIGKILL)
        sweep.wait()
    finished = tiny(*command, "hydra.sweeper.resume=killed", trials=8, folder="ignored")
    assert finished.returncode == 0, finished.stderr
    folder = tmp_path / "killed"
    assert states(folder) == {"finished": list(range(8)), "failed": [], "running": []}
    ends = Counter(
        each["number"] for each in read(folder / "journal.jsonl") if each["event"] == "finish"
    )
    assert ends == dict.fromkeys(range(8), 1)


def test_a_launchers_own_failure_is_the_trials_that_caused_it(
    swept: Swept, monkeypatch: pytest.MonkeyPatch
) -> None:
    Plugins.instance()  # makes the launchers' classes anew
    basic = importlib.import_module("hydra._internal.core_plugins.basic_launcher").BasicLauncher
    launch = basic.launch

    def failing(self: Any, overrides: Any, initial_job_idx: int) -> Any:
        if any("n=7" in each for each in overrides):
            raise OSError("no machine free")
        return launch(self, overrides, initial_job_idx)

    monkeypatch.setattr(basic, "launch", failing)
    folder = swept("hydra.sweeper.n_jobs=3", "hydra.sweeper.max_failure_rate=0.5")
    trials = trials_of(folder)
    failed = [trial for trial in trials if trial.params["n"] == 7]
    assert failed
    assert [t.state for t in trials] == ["failed" if t in failed else "finished" for t in trials]
    assert failed[0].error == "the launcher failed: OSError: no machine free"


@pytest.mark.slow
@pytest.mark.parametrize(
    "launcher",
    ["hydra.sweeper.isolate=true", "hydra/launcher=joblib hydra.launcher.n_jobs=3"],
)
def test_trials_in_flight_end_when_they_end(tiny: Tiny, tmp_path: Path, launcher: str) -> None:
    """One trial hangs until its limit; the others do not wait for it."""
    if "joblib" in launcher:
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="no joblib launcher")
    finished = tiny(
        *launcher.split(), "hydra.sweeper.n_jobs=3", "hang=[1]", "hydra.sweeper.trial_timeout_s=30"
    )
    assert finished.returncode == 0, finished.stderr
    folder = tmp_path / "sweep"
    assert states(folder) == {"finished": [0, 2, 3, 4, 5], "failed": [1], "running": []}
    ends = [e["number"] for e in read(folder / "journal.jsonl") if e["event"] in ("finish", "fail")]
    assert ends[-1] == 1
    assert "the 3 workers were " in finished.stdout
