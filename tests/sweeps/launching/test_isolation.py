"""A child process takes with it what its trial started, at its limit and when its parent dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from infinito.sweeps.launching import isolation
from infinito.sweeps.launching.isolation import Child
from infinito.sweeps.launching.trial_faults import TrialFailed

WHOLE = OmegaConf.create({"hydra": {"job": {"env_set": {}}}})


class Hanging:
    """A trial that starts a process and hangs."""

    def run(self, config: DictConfig) -> None:
        started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path(config.path).write_text(str(started.pid))
        time.sleep(600)


class Adding:
    def run(self, config: DictConfig) -> Any:
        return config.a + 1


def load_slowly() -> Adding:
    time.sleep(4.0)
    return Adding()


class SlowToLoad:
    """A trial whose imports take longer than its limit."""

    def __reduce__(self) -> tuple[Any, ...]:
        return load_slowly, ()


def fail_to_load() -> None:
    raise ImportError("no such module here")


class FailingToLoad:
    """A trial that the child cannot import."""

    def __reduce__(self) -> tuple[Any, ...]:
        return fail_to_load, ()


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def wait_for_end(process: int) -> None:
    for _ in range(6000):
        if not is_running(process):
            return
        time.sleep(0.05)
    os.kill(process, signal.SIGKILL)
    raise AssertionError("the process lives on")


def read_process(path: Path) -> int:
    for _ in range(6000):
        if path.is_file() and path.read_text():
            return int(path.read_text())
        time.sleep(0.05)
    raise AssertionError("the trial has not started")


def test_a_child_runs_one_trial_after_another() -> None:
    child = Child()
    try:
        found = [child.call(Adding(), OmegaConf.create({"a": a}), WHOLE, None) for a in (1, 2)]
    finally:
        child.kill()
    assert found == [2, 3]
    assert not child.is_alive


def test_the_limit_is_the_trials_and_not_that_of_its_imports(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(isolation, "GRACE_S", 1.5)
    child = Child()
    try:
        assert child.call(SlowToLoad(), OmegaConf.create({"a": 1}), WHOLE, 1.5) == 2  # type: ignore[arg-type]
    finally:
        child.kill()


def test_a_trial_that_cannot_be_imported_fails_by_its_error() -> None:
    child = Child()
    try:
        with pytest.raises(TrialFailed, match="ImportError: no such module here"):
            child.call(FailingToLoad(), OmegaConf.create({}), WHOLE, 1.0)  # type: ignore[arg-type]
        assert child.call(Adding(), OmegaConf.create({"a": 1}), WHOLE, None) == 2
    finally:
        child.kill()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks processes up in /proc")
def test_a_hanging_trial_takes_its_processes_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation, "GRACE_S", 0.0)
    child, path = Child(), tmp_path / "process"
    config = OmegaConf.create({"path": str(path)})
    with pytest.raises(TrialFailed, match="it did not answer and was killed"):
        child.call(Hanging(), config, WHOLE, 1.0)
    wait_for_end(read_process(path))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks processes up in /proc")
def test_a_child_ends_with_its_parent(tmp_path: Path) -> None:
    path = tmp_path / "process"
    code = (
        "from omegaconf import OmegaConf\n"
        "from infinito.sweeps.launching.isolation import Child\n"
        "from tests.sweeps.launching.test_isolation import WHOLE, Hanging\n"
        f"Child().call(Hanging(), OmegaConf.create({{'path': {str(path)!r}}}), WHOLE, None)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    process = read_process(path)
    parent.kill()
    parent.wait()
    wait_for_end(process)
