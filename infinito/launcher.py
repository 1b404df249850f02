"""Who started this process, and what it learns from the first process of the same command.

torchrun, srun or a person on several nodes start processes that know nothing of each other. The
first draws the folder of the run; the others learn it before Hydra makes one for each of them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from infinito.config import RunConf, TrainerConf
from infinito.errors import ConfigError

TRAINS_TOGETHER = ("train", "dpo")
"""Tasks that several processes do together."""
PATIENCE = timedelta(minutes=5)
"""How long a process waits for the first one."""
_KEY = "infinito/start"

_kept: list[Any] = []
"""Stores that live as long as this process: its process group uses the same port."""


@dataclass(frozen=True)
class Launch:
    """What started several processes with this command."""

    by: str
    """"torchrun", "srun" or "NODE_RANK": a person on each node."""
    rank: int
    """Of this process; of this node, where each starts its own processes."""
    count: int | None
    """Processes; None where each node starts its own."""

    def faults(self, task: str, trainer: TrainerConf) -> Iterator[str]:
        """Yield what the command asks for that does not fit the processes that were started."""
        if task not in TRAINS_TOGETHER and self.count != 1:
            yield f"`task={task}` takes one process, and {self.by} started several: start it alone"
        elif self.count not in {None, trainer.processes}:
            yield (
                f"{self.by} started {self.count} processes, but `trainer.devices`="
                f"{trainer.devices} and `trainer.nodes`={trainer.nodes} ask for "
                f"{trainer.processes}. Use e.g. `trainer=ddp trainer.devices={self.count}`, with "
                "`trainer.nodes` for several machines"
            )


def find_launch(environment: Mapping[str, str] = os.environ) -> Launch | None:
    """Return what started this process as one of several; None for a command on its own.

    Processes that a training itself started are none of these: they were given their folder.
    """
    if "TORCHELASTIC_RUN_ID" in environment:
        return Launch("torchrun", int(environment["RANK"]), int(environment["WORLD_SIZE"]))
    if "SLURM_PROCID" in environment and int(environment.get("SLURM_NTASKS", "1")) > 1:
        return Launch("srun", int(environment["SLURM_PROCID"]), int(environment["SLURM_NTASKS"]))
    if "NODE_RANK" in environment and "LOCAL_RANK" not in environment:
        return Launch("NODE_RANK", int(environment["NODE_RANK"]), None)
    return None


def node_faults(
    conf: RunConf, sweep: bool = False, environment: Mapping[str, str] = os.environ
) -> Iterator[str]:
    """Yield a fault where several nodes are requested and no address is given."""
    launch = find_launch(environment)
    if launch is not None and sweep:
        yield f"a sweep is one process, and {launch.by} started several: start it alone"
    elif launch is not None:
        yield from launch.faults(conf.task, conf.trainer)
    started_here = "LOCAL_RANK" in environment
    if conf.trainer.nodes > 1 and launch is None and not started_here:
        yield (
            f"`trainer.nodes`={conf.trainer.nodes}: nothing tells where the other nodes are. Start "
            "the command on each node by torchrun or srun, or with MASTER_ADDR, MASTER_PORT and "
            "NODE_RANK in its environment"
        )
    missing = [name for name in ("MASTER_ADDR", "MASTER_PORT") if name not in environment]
    if launch is not None and launch.by == "NODE_RANK" and missing:
        yield f"NODE_RANK is set without {' and '.join(missing)}, which tell where node 0 listens"


def tell_others(launch: Launch, folder: str | None, fault: str | None = None) -> None:
    """Tell the other processes the run's folder, or why there is none. For the first process."""
    _store(launch).set(_KEY, json.dumps([folder, fault]))


def learn(launch: Launch) -> tuple[str | None, str | None]:
    """Return what the first process sent: the run's folder, or why there is none.

    Raises:
        ConfigError: it cannot be reached.
    """
    store = _store(launch)
    try:
        store.wait([_KEY], PATIENCE)
    except RuntimeError:
        raise ConfigError(
            f"process 0, which {launch.by} started as well, has not sent its run folder in "
            f"{PATIENCE.seconds // 60} minutes"
        ) from None
    folder, fault = json.loads(store.get(_KEY))
    return folder, fault


def _store(launch: Launch) -> Any:
    """Return the store of the processes: torchrun has one, else the first process serves it."""
    from torch.distributed import TCPStore  # here: one process does without it

    address, port = _place(launch)
    serves = launch.rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    try:
        store = TCPStore(
            address, port, None, serves, PATIENCE, wait_for_workers=False, multi_tenant=True
        )
    except RuntimeError as error:
        raise ConfigError(
            f"process 0 cannot be reached at {address}:{port} (MASTER_ADDR, MASTER_PORT): "
            f"{str(error).splitlines()[0]}"
        ) from None
    _kept.append(store)
    return store


def _place(launch: Launch) -> tuple[str, int]:
    if launch.by != "srun":
        return os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    from lightning.fabric.plugins.environments import SLURMEnvironment

    slurm = SLURMEnvironment(auto_requeue=False)
    return slurm.main_address, slurm.main_port
