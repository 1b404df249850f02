"""A trial as the launcher runs it: limited in time, with its output and outcome in files."""

from __future__ import annotations

import signal
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import TaskFunction
from omegaconf import DictConfig

from infinito.errors import SIGNALLED, ConfigError
from infinito.sweeps.launching import isolation
from infinito.sweeps.launching.trial_faults import (
    LABEL,
    TrialFailed,
    TrialTimeout,
    describe_fault,
    describe_limit,
)
from infinito.sweeps.record.outcomes import Outcome, read_scores, write_outcome
from infinito.sweeps.settings import MctsSweeperConf


@dataclass(frozen=True)
class TrialTask:
    """The task function, wrapped; launchers carry it to wherever trials run.

    Args:
        task: The application's task function.
        folder: The sweep's, absolute.
        objectives: How many numbers the task must return.
        limit_s: The longest a trial may take.
        isolate: Run in a child process that can be killed.
        quiet: Keep the trial's output out of the terminal.
    """

    task: TaskFunction
    folder: Path
    objectives: int
    limit_s: float | None
    isolate: bool
    quiet: bool

    @classmethod
    def wrap(cls, task: TaskFunction, config: DictConfig, settings: MctsSweeperConf) -> TrialTask:
        """Wrap the task function with the sweeper's settings."""
        direction = settings.direction
        return cls(
            task,
            Path(str(config.hydra.sweep.dir)).absolute(),
            1 if isinstance(direction, str) else len(direction),
            settings.trial_timeout_s,
            settings.isolate,
            settings.quiet,
        )

    def __call__(self, config: DictConfig) -> Any:
        """Run one trial and leave its outcome in the sweep's folder.

        Raises:
            TrialFailed: It gave no score.
        """
        hydra = HydraConfig.get()
        started_s = time.perf_counter()
        error = None
        try:
            if self.isolate:
                whole = HydraConfig.instance().cfg
                returned = isolation.run_in_child(self, config, whole, self.limit_s)
            else:
                returned = self.run(config)
            values = read_scores(returned, self.objectives)
        except (Exception, SystemExit, TrialTimeout) as fault:
            if getattr(fault, "exit_code", 0) > SIGNALLED or _is_interrupted(fault):
                raise KeyboardInterrupt from fault  # ends the sweep; the trial has not failed
            values, error = None, describe_fault(fault)
            log = Path(hydra.runtime.output_dir) / "error.txt"
            log.write_text("".join(traceback.format_exception(fault)), encoding="utf-8")
        outcome = Outcome(values, error, time.perf_counter() - started_s)
        write_outcome(self.folder, hydra.job.env_set[LABEL], outcome)
        if error is not None:
            raise TrialFailed(error)
        return returned

    def run(self, config: DictConfig) -> Any:
        """Return the task's result, computed in this process."""
        output = Path(HydraConfig.get().runtime.output_dir) / "output.log"
        with redirect_output(output) if self.quiet else nullcontext(), limit_time(self.limit_s):
            return self.task(config)


def _is_interrupted(fault: BaseException) -> bool:
    """Tell whether the process exited because of Ctrl+C, as Lightning's trainer does."""
    return isinstance(fault, SystemExit) and isinstance(fault.__context__, KeyboardInterrupt)


@contextmanager
def redirect_output(path: Path) -> Iterator[None]:
    """Send what this process prints to a file."""
    with (
        path.open("a", encoding="utf-8", buffering=1) as file,
        redirect_stdout(file),
        redirect_stderr(file),
    ):
        yield


@contextmanager
def limit_time(limit_s: float | None) -> Iterator[None]:
    """Raise `TrialTimeout` in the block once the time is over, at the next step of Python code.

    Raises:
        ConfigError: This is not the main thread, the only one that can be interrupted.
    """
    if limit_s is None:
        yield
        return
    if threading.current_thread() is not threading.main_thread():
        raise ConfigError(
            "`hydra.sweeper.trial_timeout_s` cannot interrupt a trial that this launcher runs in "
            "a thread. Add `hydra.sweeper.isolate=true`"
        )

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        raise TrialTimeout(describe_limit(limit_s))

    previous = signal.signal(signal.SIGALRM, stop)
    left_s, _ = signal.setitimer(signal.ITIMER_REAL, limit_s)
    started_s = time.monotonic()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
        if left_s:  # an alarm of the application's own
            signal.setitimer(signal.ITIMER_REAL, max(1e-3, left_s - (time.monotonic() - started_s)))
