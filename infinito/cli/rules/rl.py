"""Combinations of a training schedule that cannot be."""

from __future__ import annotations

from collections.abc import Iterable

from infinito import config
from infinito.cli.rules.unread import refuse_unread
from infinito.config import RunConf


def _unread_by_schedules(conf: RunConf) -> Iterable[str]:
    """Yield the trainer's settings that a schedule, which trains on one CPU in float32, ignores."""
    trainer = conf.trainer
    other_device = trainer.accelerator not in {"auto", "cpu"}
    yield from refuse_unread(
        conf,
        (f"accelerator={trainer.accelerator}", other_device, "accelerator=cpu"),
        (f"devices={trainer.devices}", trainer.devices != 1, "devices=1"),
        (f"strategy={trainer.strategy}", trainer.strategy != "auto", "strategy=auto"),
        (f"precision={trainer.precision}", trainer.precision != "32-true", "precision=32-true"),
        ("compile=true", trainer.compile, "compile=false"),
        ("chunked_loss=true", trainer.chunked_loss, "chunked_loss=false"),
        (f"stop_bad={trainer.stop_bad}", trainer.stop_bad is not None, "stop_bad=null"),
    )


def rl_faults(conf: RunConf) -> Iterable[str]:
    if conf.task == "rl_scheduler":
        yield from config.rl_faults(conf.rl, conf.data.batch_size)
        yield from _unread_by_schedules(conf)
        alone = isinstance(conf.model, config.PretrainedConf) or conf.model.memory.name != "none"
        if conf.rl.vectorised and alone:
            yield (
                "`rl.vectorised`=true trains several models in one pass, which a pretrained model "
                "and one with a memory do not allow. Use `rl.vectorised=false`"
            )
        if conf.checkpoint is not None:
            yield (
                f"`checkpoint`={conf.checkpoint} is not read by `task=rl_scheduler`. Name a "
                "language model to start from by `rl.base_checkpoint=<run>`"
            )
    if conf.agent is not None and conf.task != "generate":
        yield f"`agent`={conf.agent} steers `task=generate`, not `task={conf.task}`: leave it out"
