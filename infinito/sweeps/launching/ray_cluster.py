"""The Ray cluster that runs the jobs of a sweep: one that is there, or one of the sweep's own."""

from __future__ import annotations

import logging
import os
import socket
from typing import Any

from infinito.errors import ConfigError
from infinito.extras import require_extra
from infinito.sweeps.launching.ray_settings import RayLauncherConf

ANSWER_S = 10.0
"""Longest wait for the head of a cluster to answer."""
STORE_BYTES = 100 * 2**20
"""Memory that a cluster of the sweep's own shares between processes; jobs and results are small."""


def join_cluster(settings: RayLauncherConf) -> None:
    """Connect this process to the cluster, or start one that ends with this process.

    Raises:
        MissingExtraError: Ray is not installed.
        ConfigError: There is no such cluster, or none of its machines can run a job.
    """
    require_extra("ray")
    import ray

    if not ray.is_initialized():
        # else Ray reports its use over the net, and warns of what a later version will do
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        try:
            _reach(settings.address)
            ray.init(**_init_arguments(settings), logging_level=logging.ERROR)
        except Exception as error:  # of this class itself, where Ray raises it
            raise ConfigError(_describe_refusal(settings, error)) from error
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    needed = needed_resources(settings)
    if not any(_has_room(machine, needed) for machine in machines):
        raise ConfigError(_describe_lack(machines, needed))


def needed_resources(settings: RayLauncherConf) -> dict[str, float]:
    """Return what a job reserves, by Ray's names."""
    return {"CPU": settings.num_cpus, "GPU": settings.num_gpus, **settings.resources}


def _reach(address: str | None) -> None:
    """Connect to the head of a cluster once; Ray itself would try for minutes.

    Raises:
        OSError: Nothing answers there.
    """
    if address is not None and address != "auto":
        host, _, port = address.rpartition(":")
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()


def _init_arguments(settings: RayLauncherConf) -> dict[str, Any]:
    if settings.address is not None:
        return {"address": settings.address}
    return {
        "address": "local",
        "num_cpus": settings.cluster_cpus,
        "include_dashboard": False,
        "object_store_memory": STORE_BYTES,
    }


def _has_room(machine: dict[str, float], needed: dict[str, float]) -> bool:
    return all(machine.get(name, 0) >= amount for name, amount in needed.items())


def _describe_lack(machines: list[dict[str, float]], needed: dict[str, float]) -> str:
    wanted = {name: amount for name, amount in needed.items() if amount}
    listed = "; ".join(
        ", ".join(f"{machine.get(name, 0):g} {name}" for name in wanted) for machine in machines
    )
    keys = {"CPU": "num_cpus", "GPU": "num_gpus"}
    asked = ", ".join(
        f"`hydra.launcher.{keys.get(name, f'resources.{name}')}`={amount:g}"
        for name, amount in wanted.items()
    )
    return f"{asked}: no machine of the Ray cluster has that much; there are: {listed}"


def _describe_refusal(settings: RayLauncherConf, error: Exception) -> str:
    cause = " ".join(str(error).split())[:300]
    if settings.address is None:
        return f"Ray cannot start a cluster on this machine: {cause}"
    return (
        f"`hydra.launcher.address`={settings.address}: Ray cannot join that cluster: {cause}\n"
        "    Start one with `ray start --head`; set RAY_AUTH_MODE=token for one that asks for its "
        "token; or leave the address null for a cluster that ends with the sweep"
    )
