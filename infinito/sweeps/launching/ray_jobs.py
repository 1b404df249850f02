"""Runs Hydra's jobs in the worker processes of a Ray cluster.

Ray would run a lost job again by itself and say so to nobody; it is told not to, so that the second
launch gets a folder of its own, and a search records it.
"""

from __future__ import annotations

import copy
import logging
import os
import pickle
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict
from omegaconf.basecontainer import BaseContainer

from infinito.errors import SweepError
from infinito.extras import require_extra
from infinito.sweeps.launching.ray_cluster import needed_resources
from infinito.sweeps.launching.ray_settings import RayLauncherConf
from infinito.sweeps.launching.trial_faults import LABEL, WorkerLost

_composing = threading.Lock()
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """One job, as it is sent to a worker."""

    context: HydraContext
    task: TaskFunction
    config: DictConfig
    """The job's own, with Hydra's node."""

    @property
    def number(self) -> int:
        """Its number in the sweep."""
        return int(self.config.hydra.job.num)

    @property
    def is_trial(self) -> bool:
        """Whether it is the trial of a search, which itself runs lost trials again."""
        return LABEL in (self.config.hydra.job.env_set or {})

    def as_attempt(self, attempt: int) -> Job:
        """Return the same job, in the folder of its second or a later launch."""
        config = copy.deepcopy(self.config)
        with open_dict(config):
            config.hydra.sweep.subdir = f"{self.config.hydra.sweep.subdir}.{attempt}"
        return Job(self.context, self.task, config)


def compose_jobs(
    context: HydraContext,
    task: TaskFunction,
    config: DictConfig,
    job_overrides: Sequence[Sequence[str]],
    first: int,
) -> list[Job]:
    """Return the jobs of a launch, their folders absolute.

    Args:
        context: Hydra's loader of configurations and its callbacks.
        task: What each job runs.
        config: The sweep's configuration, with Hydra's node.
        job_overrides: The overrides of each job.
        first: The number of the first job.
    """
    jobs = []
    for number, overrides in enumerate(job_overrides, start=first):
        with _composing:  # a search launches from several threads
            own = context.config_loader.load_sweep_config(config, list(overrides))
        with open_dict(own):
            own.hydra.job.num = number
            own.hydra.job.id = f"{own.hydra.job.name}_{number}"
            own.hydra.sweep.dir = os.path.abspath(str(own.hydra.sweep.dir))
        Path(own.hydra.sweep.dir).mkdir(parents=True, exist_ok=True)
        jobs.append(Job(context, task, own))
    return jobs


def run_jobs(jobs: Sequence[Job], settings: RayLauncherConf) -> list[JobReturn]:
    """Run jobs in workers of the cluster; return their results in the order of the jobs.

    Raises:
        MissingExtraError: Ray is not installed.
        WorkerLost: The worker of a search's trial was lost; all other jobs have ended.
        SweepError: The worker of another job was lost more often than `settings.retries` allows.
    """
    require_extra("ray")
    import ray

    results: list[JobReturn | None] = [None] * len(jobs)
    losses = [0] * len(jobs)
    running = {_start(job, settings): index for index, job in enumerate(jobs)}
    lost: list[tuple[Job, WorkerLost]] = []
    while running:
        (ended,), _ = ray.wait(list(running), num_returns=1)
        index = running.pop(ended)
        try:
            results[index] = _collect(ended)
        except WorkerLost as loss:
            job = jobs[index]
            losses[index] += 1
            if job.is_trial or losses[index] > settings.retries:
                lost.append((job, loss))
                continue
            job = job.as_attempt(losses[index] + 1)
            _log.warning(
                "run %d: %s; it runs again in %s", job.number, loss, job.config.hydra.sweep.subdir
            )
            running[_start(job, settings)] = index
    for job, reason in lost:
        if job.is_trial:
            raise WorkerLost(str(reason), settings.retries)
        raise SweepError(
            f"run {job.number}: {reason}, {settings.retries + 1} times; the other runs have "
            "ended. Find out what ends it, and sweep over the values that are left; for workers "
            "that are lost by chance, `hydra.launcher.retries=5`"
        )
    return [each for each in results if each is not None]


def _start(job: Job, settings: RayLauncherConf) -> Any:
    import ray

    needed = needed_resources(settings)
    sent = (BaseContainer._resolvers, os.getcwd(), Singleton.get_state(), job)
    remote: Any = ray.remote(_run_pickled)
    options = {"num_cpus": needed.pop("CPU"), "num_gpus": needed.pop("GPU"), "resources": needed}
    named = remote.options(**options, max_retries=0, name=f"job {job.number}")
    return named.remote(cloudpickle.dumps(sent))


def _collect(reference: Any) -> JobReturn:
    """Return the result of a job that has ended.

    Raises:
        WorkerLost: Its process or machine was lost, or was stopped by a signal.
    """
    import ray
    from ray import exceptions

    try:
        answer = pickle.loads(ray.get(reference))
    except (
        exceptions.WorkerCrashedError,
        exceptions.NodeDiedError,
        exceptions.OutOfMemoryError,
        exceptions.ObjectLostError,
        exceptions.TaskCancelledError,
    ) as error:
        raise WorkerLost(f"its Ray worker was lost ({type(error).__name__})") from error
    except exceptions.RayTaskError as error:  # a fault of the worker's surroundings
        raise error.cause from None
    if isinstance(answer, str):
        raise WorkerLost(answer)
    result: JobReturn = answer
    return result


def _run_pickled(sent: bytes) -> bytes:
    """Run a job in this worker; return its result, or why the worker stopped, pickled."""
    resolvers, place, state, job = pickle.loads(sent)
    folder = Path(job.config.hydra.sweep.dir)
    for needed in (Path(place), folder):
        if not needed.is_dir():
            raise FileNotFoundError(
                f"{os.uname().nodename} does not see the folder {needed}: all machines of the "
                "cluster must share it, e.g. `hydra.sweep.dir=/shared/sweep`"
            )
    BaseContainer._resolvers.update(resolvers)
    os.chdir(place)
    setup_globals()
    Singleton.set_state(state)
    HydraConfig.instance().set_config(job.config)
    try:
        result: Any = run_job(
            hydra_context=job.context,
            task_function=job.task,
            config=job.config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
    except (KeyboardInterrupt, SystemExit) as stop:  # Ray would take either for its own
        result = f"its Ray worker was stopped ({type(stop).__name__})"
    answer: bytes = cloudpickle.dumps(result)
    return answer
