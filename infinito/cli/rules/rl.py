"""Combinations of a training schedule that cannot be."""

from __future__ import annotations

from collections.abc import Iterable

from infinito import config
from infinito.config import RunConf


def _device_faults(conf: RunConf) -> Iterable[str]:
    """A schedule and its models train on one CPU, in float32, whatever an experiment file says."""
    trainer = conf.trainer
    other_device = trainer.accelerator not in {"auto", "cpu"}
    for key, is_set, mend in (
        (f"accelerator={trainer.accelerator}", other_device, "accelerator=cpu"),
        (f"devices={trainer.devices}", trainer.devices != 1, "devices=1"),
        (f"nodes={trainer.nodes}", trainer.nodes != 1, "nodes=1"),
        (f"strategy={trainer.strategy}", trainer.strategy != "auto", "strategy=auto"),
        (f"precision={trainer.precision}", trainer.precision != "32-true", "precision=32-true"),
    ):
        if is_set:
            yield (
                f"`trainer.{key}` is not for `task=rl_scheduler`, whose environments train their "
                f"models in one process, in one pass. Use `trainer.{mend}`"
            )


def rl_faults(conf: RunConf) -> Iterable[str]:
    if conf.task == "rl_scheduler":
        yield from config.rl_faults(conf.rl, conf.data.batch_size)
        yield from _device_faults(conf)
        alone = isinstance(conf.model, config.PretrainedConf) or conf.model.memory.name != "none"
        if conf.rl.vectorised and alone:
            yield (
                "`rl.vectorised`=true trains several models in one pass, which a pretrained model "
                "and one with a memory do not allow. Use `rl.vectorised=false`"
            )
