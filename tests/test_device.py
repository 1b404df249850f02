"""A device that is not there is refused before anything starts."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
import torch

from infinito.config import RunConf
from infinito.device import choose_accelerator, choose_device
from infinito.errors import DeviceError


@pytest.mark.parametrize("accelerator", ["cpu", "auto"])
def test_more_processes_than_processors_are_refused(
    configured: Callable[..., RunConf], accelerator: str
) -> None:
    if accelerator == "auto" and (torch.cuda.is_available() or torch.backends.mps.is_available()):
        pytest.skip("auto is another device here")
    conf = configured(f"trainer.accelerator={accelerator}", "trainer.devices=9999")
    count = os.cpu_count()
    message = rf"devices`=9999: this machine has {count} processors.*`trainer\.devices={count}`"
    with pytest.raises(DeviceError, match=message):
        choose_accelerator(conf)


def test_as_many_processes_as_processors_are_taken(configured: Callable[..., RunConf]) -> None:
    assert choose_accelerator(configured(f"trainer.devices={os.cpu_count()}")) == "cpu"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.accelerator=cuda", r"no such device.*`trainer\.accelerator=cpu`"),
        ("trainer.precision=16-mixed", r"needs a CUDA device.*bf16-mixed"),
    ],
)
def test_what_needs_cuda_is_refused_without(
    configured: Callable[..., RunConf], override: str, message: str
) -> None:
    with pytest.raises(DeviceError, match=message):
        choose_device(configured(override))


def test_metal_does_not_shard(
    configured: Callable[..., RunConf], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infinito.device._has_device", lambda name: name == "mps")
    with pytest.raises(DeviceError, match=r"not over `trainer\.accelerator`=mps"):
        choose_accelerator(configured("trainer.strategy=fsdp", "trainer.accelerator=auto"))
