"""Lanes of an asynchronous sweep: each runs one launch at a time, whatever the others do.

Hydra's launchers return only when all jobs that they were given have ended. So each lane gives the
launcher one job: from a thread of its own, where the launcher only waits for a process elsewhere
(joblib, submitit, Ray); from a process of its own, where the launcher runs the job itself (basic).
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hydra.core.singleton import Singleton
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig

from infinito.errors import ConfigError
from infinito.sweeps.launching.isolation import Child
from infinito.sweeps.launching.launches import Launch
from infinito.sweeps.settings import MctsSweeperConf

Run = Callable[[Launch], object]
"""Runs one launch to its end."""

Jobs = Callable[[Sequence[Launch]], tuple[list[list[str]], int]]
"""Returns the overrides of launches as Hydra's jobs, and the number of the first."""

_BASIC = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
_JOBLIB = "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher"
_RAY = "hydra_plugins.infinito_ray.ray_launcher.RayLauncher"
_SUBMITIT = "hydra_plugins.hydra_submitit_launcher.submitit_launcher."


class Lanes(Protocol):
    """Launches in flight.

    Attributes:
        count: How many launches may be in flight.
    """

    count: int

    def start(self, launch: Launch) -> None:
        """Start a launch in a free lane; there is one."""
        ...

    def wait(self) -> tuple[Launch, BaseException | None]:
        """Return a launch that has ended, and what was raised; wait for the next one to end."""
        ...


class SerialLane:
    """One launch at a time in the calling thread, which alone can interrupt a trial in time.

    Args:
        run: Runs a launch.
    """

    count = 1

    def __init__(self, run: Run) -> None:
        self._run = run
        self._launch: Launch | None = None

    def start(self, launch: Launch) -> None:
        """Take a launch; it runs in `wait`."""
        self._launch = launch

    def wait(self) -> tuple[Launch, BaseException | None]:
        """Run the launch."""
        assert self._launch is not None
        try:
            self._run(self._launch)
        except Exception as error:
            return self._launch, error
        return self._launch, None


class ThreadLanes:
    """Launches that a thread each waits for.

    Args:
        runs: One for each lane.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        self.count = len(runs)
        self._free = list(runs)
        self._ended: queue.SimpleQueue[tuple[Run, Launch, BaseException | None]] = (
            queue.SimpleQueue()
        )

    def start(self, launch: Launch) -> None:
        """Start a launch in a free lane."""
        # a daemon, so that Ctrl+C ends the sweep whatever a launcher waits for
        work = threading.Thread(target=self._work, args=(self._free.pop(), launch), daemon=True)
        work.start()

    def wait(self) -> tuple[Launch, BaseException | None]:
        """Return a launch that has ended, and what was raised."""
        run, launch, fault = self._ended.get()
        self._free.append(run)
        return launch, fault

    def _work(self, run: Run, launch: Launch) -> None:
        fault = None
        try:
            run(launch)
        except BaseException as error:
            fault = error
        self._ended.put((run, launch, fault))


@dataclass(frozen=True)
class _LaunchTask:
    """One job through Hydra's launcher, in the process of a lane."""

    launcher: Launcher
    overrides: list[list[str]]
    start: int
    state: Any

    def run(self, config: DictConfig) -> None:  # noqa: ARG002
        Singleton.set_state(self.state)
        self.launcher.launch(self.overrides, initial_job_idx=self.start)


class ProcessLane:
    """Runs launches in a process of its own, in which Hydra's globals are those of one job.

    Args:
        launcher: Hydra's, carried to the process.
        jobs: Writes launches as jobs.
        config: The sweep's, with Hydra's node.
    """

    def __init__(self, launcher: Launcher, jobs: Jobs, config: DictConfig) -> None:
        self._launcher = launcher
        self._jobs = jobs
        self._config = config
        self._child: Child | None = None

    def __call__(self, launch: Launch) -> None:
        """Run a launch."""
        if self._child is None or not self._child.is_alive:
            self._child = Child()
        overrides, start = self._jobs([launch])
        task = _LaunchTask(self._launcher, overrides, start, Singleton.get_state())
        self._child.call(task, self._config, self._config, None)


def open_lanes(
    settings: MctsSweeperConf, config: DictConfig, launcher: Launcher, jobs: Jobs
) -> Lanes | None:
    """Return the lanes that a launcher allows, or None for a sweep in batches.

    Args:
        settings: `asynchronous`, `n_jobs` and `isolate` count.
        config: The sweep's, with Hydra's node.
        launcher: Hydra's, as that configures it.
        jobs: Writes launches as jobs.

    Raises:
        ConfigError: Lanes are required, and the launcher is not known to allow them.
    """
    if settings.asynchronous is False:
        return None

    def launch(one: Launch) -> object:
        overrides, start = jobs([one])
        return launcher.launch(overrides, initial_job_idx=start)

    target = str(config.hydra.launcher.get("_target_"))
    count = settings.n_jobs
    if target == _BASIC and settings.isolate and count > 1:
        return ThreadLanes([ProcessLane(launcher, jobs, config) for _ in range(count)])
    if target == _BASIC:
        return SerialLane(launch)
    if target == _JOBLIB:
        from joblib import effective_n_jobs

        count = min(count, effective_n_jobs(config.hydra.launcher.n_jobs))
        # with one worker joblib runs the trial itself, in the thread that asks for it
        return ThreadLanes([launch] * count) if count > 1 else SerialLane(launch)
    if target == _RAY or target.startswith(_SUBMITIT):
        return ThreadLanes([launch] * count)
    if settings.asynchronous:
        raise ConfigError(
            f"`hydra.sweeper.asynchronous`=true, and the launcher is {target}; expected `basic`, "
            "`joblib`, `ray`, `submitit_local` or `submitit_slurm`. Batches run on every launcher: "
            "`hydra.sweeper.asynchronous=false`"
        )
    return None
