"""Find the device and the precision that a run asks for."""

from __future__ import annotations

import os

import torch

from infinito.config import RunConf
from infinito.errors import DeviceError


def choose_accelerator(conf: RunConf) -> str:
    """Return Lightning's name of the device that `trainer.accelerator` names.

    Raises:
        DeviceError: it is not there; nothing else is taken in its place.
    """
    requested = conf.trainer.accelerator
    if requested in {"cuda", "mps"} and not _has_device(requested):
        raise DeviceError(
            f"`trainer.accelerator`={requested}: this machine has no such device. "
            "Use `trainer.accelerator=cpu`, or `auto` for the best that is there."
        )
    _check_count(conf, requested)
    takes_mps = requested == "mps" or (requested == "auto" and _has_device("mps"))
    if conf.trainer.strategy == "fsdp" and takes_mps:
        raise DeviceError(
            "`trainer.strategy`=fsdp shards over CUDA devices or CPU processes, not over "
            "`trainer.accelerator`=mps. Use `trainer=default`"
        )
    if conf.trainer.precision == "16-mixed" and not _has_device("cuda"):
        raise DeviceError(
            "`trainer.precision`=16-mixed needs a CUDA device. Use `trainer.precision=bf16-mixed`."
        )
    return requested


def _check_count(conf: RunConf, requested: str) -> None:
    """Refuse more devices than there are; on CPUs each device is a process."""
    if requested == "auto":
        requested = next((name for name in ("cuda", "mps") if _has_device(name)), "cpu")
    counts = {"cuda": torch.cuda.device_count(), "mps": 1, "cpu": os.cpu_count() or 1}
    if conf.trainer.devices > counts[requested]:
        unit = "processors, each for one process" if requested == "cpu" else f"{requested} devices"
        raise DeviceError(
            f"`trainer.devices`={conf.trainer.devices}: this machine has {counts[requested]} "
            f"{unit}. Use `trainer.devices={counts[requested]}` or fewer."
        )


def _has_device(name: str) -> bool:
    return torch.cuda.is_available() if name == "cuda" else torch.backends.mps.is_available()


def choose_device(conf: RunConf) -> torch.device:
    """Return the device of tasks that need no Lightning trainer."""
    requested = choose_accelerator(conf)
    if requested == "auto":
        requested = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(requested)


def choose_autocast_dtype(conf: RunConf) -> torch.dtype | None:
    """Return the lower precision that `trainer.precision` names, or None."""
    return {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(conf.trainer.precision)
