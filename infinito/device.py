"""Finds the device and the precision that a run asks for."""

from __future__ import annotations

import torch

from infinito.config import RunConf
from infinito.errors import DeviceError


def choose_accelerator(conf: RunConf) -> str:
    """Lightning's name of the device asked for.

    Raises:
        DeviceError: it is not there; nothing else is taken in its place.
    """
    asked = conf.trainer.accelerator
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if asked in there and not there[asked]:
        raise DeviceError(
            f"`trainer.accelerator`={asked}: this machine has no such device. "
            "Use `trainer.accelerator=cpu`, or `auto` for the best that is there."
        )
    if asked == "cuda" and conf.trainer.devices > torch.cuda.device_count():
        raise DeviceError(
            f"`trainer.devices`={conf.trainer.devices}: this machine has "
            f"{torch.cuda.device_count()}. Use `trainer.devices={torch.cuda.device_count()}`."
        )
    if conf.trainer.strategy == "fsdp" and not there["cuda"]:
        raise DeviceError(
            "`trainer.strategy`=fsdp shards over CUDA devices, and there is none here"
        )
    if conf.trainer.precision == "16-mixed" and not there["cuda"]:
        raise DeviceError(
            "`trainer.precision`=16-mixed needs a CUDA device. Use `trainer.precision=bf16-mixed`."
        )
    return asked


def choose_device(conf: RunConf) -> torch.device:
    """The device of tasks that need no Lightning trainer."""
    asked = choose_accelerator(conf)
    if asked == "auto":
        asked = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(asked)


def choose_autocast_dtype(conf: RunConf) -> torch.dtype | None:
    """The lower precision that `trainer.precision` asks for, or None."""
    return {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(conf.trainer.precision)
