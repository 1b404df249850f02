"""The Lightning trainer of every task that trains, and how it stores and logs."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from pathlib import Path
from typing import Any

from lightning import Callback, Trainer
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping, ProgressBar
from lightning.pytorch.loggers import Logger
from lightning.pytorch.strategies import Strategy

from infinito.config import TrainerConf
from infinito.models.checkpoint_file import read_checked_content, write_checkpoint
from infinito.process import give_back_freed_memory
from infinito.training.distributed.launching import MindedDDP, build_environment
from infinito.training.distributed.sharding import ShardedTraining


def build_trainer(
    settings: TrainerConf,
    callbacks: Sequence[Callback],
    *,
    deterministic: bool,
    steps: int | None = None,
    loggers: Sequence[Logger] = (),
) -> Trainer:
    """Return a trainer of one epoch over a stream of batches.

    It validates, saves and draws a progress bar only where a callback does.

    Args:
        settings: Device, precision and accumulation.
        callbacks: All that happens besides the steps.
        deterministic: Same seed, same bits.
        steps: Optimizer steps of the whole training; None for the whole stream.
        loggers: Where metrics go.
    """
    return Trainer(
        accelerator=settings.accelerator,
        devices=settings.devices,
        num_nodes=settings.nodes,
        strategy=build_strategy(settings),
        precision=settings.precision,  # type: ignore[arg-type]
        max_epochs=1 if steps is None else None,
        max_steps=-1 if steps is None else steps,
        accumulate_grad_batches=settings.accumulate,
        check_val_every_n_epoch=2,  # never within the one epoch: `validate_now` does it
        num_sanity_val_steps=0,
        limit_val_batches=settings.validation_batches,
        log_every_n_steps=1,
        logger=list(loggers) or False,
        callbacks=list(callbacks),
        plugins=[SafeCheckpointIO(), build_environment()],
        enable_checkpointing=any(isinstance(each, Checkpoint) for each in callbacks),
        enable_progress_bar=any(isinstance(each, ProgressBar) for each in callbacks),
        enable_model_summary=False,
        use_distributed_sampler=False,
        deterministic=deterministic,
        inference_mode=settings.strategy != "fsdp",  # sharded weights are gathered in place
    )


def build_strategy(settings: TrainerConf) -> str | Strategy:
    """Return Lightning's strategy for `trainer.strategy`; several processes need one."""
    if settings.strategy == "fsdp":
        return ShardedTraining(settings.processes)
    if settings.strategy == "ddp" or (settings.strategy == "auto" and settings.processes > 1):
        return MindedDDP()
    return settings.strategy


def build_early_stopping(settings: TrainerConf) -> list[Callback]:
    """Return what ends a training after `trainer.patience` validations without improvement."""
    if settings.patience is None:
        return []
    return [EarlyStopping("val/loss", patience=settings.patience, check_finite=False)]


def count_batches(validation: Sized, settings: TrainerConf) -> int:
    """Return the batches of a validation, of which `trainer.validation_batches` may be fewer."""
    return min(len(validation), settings.validation_batches or len(validation))


def release_optimizers(trainer: Trainer) -> None:
    """Free what only steps need, gradients and optimizer state, at the end of a training."""
    for optimizer in trainer.optimizers:
        optimizer.state.clear()
        optimizer.zero_grad()
    give_back_freed_memory()


class SafeCheckpointIO(CheckpointIO):
    """Lightning's checkpoint files by `write_checkpoint` and `read_checkpoint`."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint; see `write_checkpoint`."""
        write_checkpoint(checkpoint, Path(path))

    def load_checkpoint(
        self,
        path: Any,
        map_location: Callable[..., Any] | None = None,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Read what `save_checkpoint` wrote, also where processes pass weights to each other."""
        return read_checked_content(path, map_location)

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a checkpoint file."""
        Path(path).unlink(missing_ok=True)
