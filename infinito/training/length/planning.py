"""How long a training is, in batches and optimizer steps."""

from __future__ import annotations

from dataclasses import dataclass

from infinito.config import RunConf


@dataclass(frozen=True)
class Length:
    """How long a training is."""

    batches_per_epoch: int
    batches: int
    """Of the whole training."""
    steps: int
    """Optimizer steps of the whole training."""
    validate_every: int
    """Batches."""


def plan_length(conf: RunConf, windows: int) -> Length:
    """Return the batches and steps that the configuration asks for; the shorter limit rules.

    Args:
        windows: Windows of the training split.
    """
    per_step = conf.data.batch_size * conf.trainer.processes
    return plan_length_from(conf, max(1, windows // per_step))


def plan_length_from(conf: RunConf, per_epoch: int) -> Length:
    """Return the same from the batches of an epoch."""
    limits = []
    if conf.trainer.epochs is not None:
        limits.append(conf.trainer.epochs * per_epoch)
    if conf.trainer.max_steps is not None:
        limits.append(conf.trainer.max_steps * conf.trainer.accumulate)
    batches = min(limits)
    every = conf.trainer.validate_every or per_epoch
    return Length(per_epoch, batches, -(-batches // conf.trainer.accumulate), min(every, batches))
