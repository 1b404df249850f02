"""What Hydra finds of Ray: `hydra/launcher=ray`.

What it does is in `infinito.sweeps.launching`. Hydra imports this module whenever it starts, so
heavy imports wait until a sweep begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from infinito.sweeps.launching.ray_settings import RayLauncherConf

ConfigStore.instance().store(
    group="hydra/launcher", name="ray", node=RayLauncherConf, provider="infinito"
)


class RayLauncher(Launcher):
    """Runs each job in a worker process of a Ray cluster."""

    def __init__(self, **settings: Any) -> None:
        plain: dict[str, Any] = {
            name: OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
            for name, value in settings.items()
        }
        self.settings = RayLauncherConf(**plain)
        self.hydra_context: HydraContext | None = None
        self.task_function: TaskFunction | None = None
        self.config: DictConfig | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Take Hydra's state, check the settings and join the cluster."""
        from infinito.sweeps.launching.ray_cluster import join_cluster
        from infinito.sweeps.launching.ray_settings import check

        check(self.settings)
        join_cluster(self.settings)
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run jobs, as many at once as the cluster has room for; return when all have ended."""
        from infinito.sweeps.launching.ray_jobs import compose_jobs, run_jobs

        assert self.hydra_context is not None
        assert self.task_function is not None
        assert self.config is not None
        jobs = compose_jobs(
            self.hydra_context, self.task_function, self.config, job_overrides, initial_job_idx
        )
        return run_jobs(jobs, self.settings)
