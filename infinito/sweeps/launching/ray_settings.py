"""The settings of the Ray launcher, `hydra.launcher.*`.

Hydra reads this schema whenever it starts, so nothing but dataclasses is imported here.
"""

from dataclasses import dataclass, field


@dataclass
class RayLauncherConf:
    """Each job runs in a worker process of a Ray cluster."""

    _target_: str = "hydra_plugins.infinito_ray.ray_launcher.RayLauncher"
    address: str | None = None
    """The cluster: `auto` for the one that `ray start` joined this machine to, or `<host>:<port>`
    of its head; null starts one on this machine that ends with the sweep."""
    cluster_cpus: int | None = None
    """CPUs of the cluster that is started; null for all of the machine."""
    num_cpus: float = 1.0
    """CPUs that a job reserves; OMP_NUM_THREADS of its process, too."""
    num_gpus: float = 0.0
    """GPUs that a job reserves; a fraction lets jobs share one."""
    resources: dict[str, float] = field(default_factory=dict)
    """Resources of the cluster's own that a job reserves, by name."""
    retries: int = 2
    """How often a job whose worker process or machine was lost is run again."""


def check(settings: RayLauncherConf) -> None:
    """Check the settings before a cluster is joined.

    Raises:
        ConfigError: Lists all that cannot be.
    """
    from infinito.errors import ConfigError

    amounts = {"num_gpus": settings.num_gpus}
    amounts |= {f"resources.{name}": amount for name, amount in settings.resources.items()}
    expected = {
        "cluster_cpus": (settings.cluster_cpus is None or settings.cluster_cpus >= 1, "at least 1"),
        "num_cpus": (_is_amount(settings.num_cpus) and settings.num_cpus > 0, _ABOVE_0),
        **{name: (_is_amount(amount), _FROM_0) for name, amount in amounts.items()},
        "retries": (settings.retries >= 0, "at least 0"),
        "address": (_is_address(settings.address), "null, `auto` or `<host>:<port>`"),
    }
    values = {**vars(settings), **amounts}
    faults = [
        f"`hydra.launcher.{name}`={values[name]}: expected {what}"
        for name, (holds, what) in expected.items()
        if not holds
    ]
    if settings.address is not None and settings.cluster_cpus is not None:
        faults.append(
            f"`hydra.launcher.cluster_cpus`={settings.cluster_cpus} is for a cluster that the "
            f"sweep starts, and `hydra.launcher.address`={settings.address} names another: leave "
            "one of them null"
        )
    if faults:
        raise ConfigError(faults)


_ABOVE_0 = "a number above 0, a whole one from 1 on"
_FROM_0 = "0 or more, a whole number from 1 on"


def _is_amount(amount: float) -> bool:
    """Return whether Ray can reserve this much: a part of one, or several whole ones."""
    return 0 <= amount < float("inf") and (amount <= 1 or amount == int(amount))


def _is_address(address: str | None) -> bool:
    if address is None or address == "auto":
        return True
    host, _, port = address.rpartition(":")
    return bool(host) and "/" not in address and port.isdigit()
