"""What a task does not go with is refused with what does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from infinito.cli.composition import check
from infinito.config import RunConf
from infinito.errors import ConfigError
from infinito.paths import conf_dir


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("trainer.strategy=ddp_spawn",), r"`trainer.strategy`.*ddp_spawn.*auto, ddp, fsdp"),
        (("task=trial", "trainer.devices=2"), r"`task=trial` takes one process.* ask for 2"),
        (("memory=integration", "data.block_size=64", "trainer.devices=2"), "memory of its own"),
        (("+experiment=rl_quick", "trainer.devices=2"), r"`trainer.devices` is not read by"),
    ],
    ids=["spawned", "trial", "memory", "schedule"],
)
def test_processes_that_cannot_be_are_refused(
    configured: Callable[..., RunConf], overrides: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        configured(*overrides)


def test_adapters_are_not_spread_over_processes() -> None:
    overrides = ["model=pretrained", "model.path=x", "data=text", "data.path=x"]
    with pytest.raises(ConfigError, match=r"fsdp spreads whole models, .*Use `trainer=ddp`"):
        check([*overrides, "model.trainable=lora", "trainer.strategy=fsdp"], conf_dir())
