"""Starts the other processes of a data-parallel training on this machine, and minds them at first.

Lightning starts them; its own watch over them kills the first process without a word, so another
takes its place until they have joined. From then on `Peers` watches.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch.distributed as dist
from lightning import Trainer
from lightning.fabric.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.strategies.launchers.subprocess_script import _SubprocessScriptLauncher
from rich.console import Console

from infinito.launcher import find_launch

LOOK_S = 0.5
"""Seconds between two looks at the processes that were started."""


def build_environment() -> ClusterEnvironment:
    """Return how the processes of a training find each other."""
    launch = find_launch()
    if launch is None or launch.by == "NODE_RANK":
        return LightningEnvironment()
    if launch.by == "srun":
        return SLURMEnvironment(auto_requeue=False)  # it would save and requeue by itself
    return TorchElasticEnvironment()


class MindedDDP(DDPStrategy):
    """Data-parallel training that ends with a message where a process fails to start."""

    def _configure_launcher(self) -> None:
        assert self.cluster_environment is not None
        self._launcher = MindedLauncher(
            self.cluster_environment, self.num_processes, self.num_nodes
        )


class MindedLauncher(_SubprocessScriptLauncher):
    """Starts a process for each further device by this process's own command."""

    def launch(
        self, function: Callable[..., Any], *args: Any, trainer: Trainer | None = None, **more: Any
    ) -> Any:
        """Start the others, unless something else did, and run the function in this process."""
        environment = self.cluster_environment
        environment.validate_settings(num_devices=self.num_processes, num_nodes=self.num_nodes)
        if not environment.creates_processes_externally:
            self._call_children_scripts()
            threading.Thread(target=mind, args=(self.procs,), daemon=True).start()
        return function(*args, **more)


def mind(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """End this process if one of `processes` ends before all have joined."""
    while not dist.is_initialized():
        for number, process in enumerate(processes, start=1):
            if process.poll() is not None:
                Console(stderr=True, highlight=False, soft_wrap=True).print(
                    f"[bold red]error:[/] process {number} of {len(processes) + 1} ended with "
                    f"code {process.returncode} before the training began: nothing was trained"
                )
                for other in processes:
                    other.kill()
                os._exit(1)
        time.sleep(LOOK_S)
