"""Validates between two training batches, which Lightning does at its own places only."""

from __future__ import annotations

import math
from typing import Any

from lightning import Callback, LightningModule, Trainer

from infinito.training.length.planning import Length
from infinito.training.report.metrics_logger import log_everywhere


def validate_now(trainer: Trainer) -> None:
    """Run a validation; the training goes on as if nothing had happened.

    The one place that uses Lightning's private names: it does what Lightning's own training loop
    does around a validation in the middle of an epoch.
    """
    connector = trainer._logger_connector
    first_iteration = connector._first_loop_iter
    trainer.validating = True
    trainer.fit_loop.epoch_loop.val_loop.run()
    trainer.training = True
    connector._first_loop_iter = first_iteration


class Validations(Callback):
    """Keeps the metrics of the validations of a training that saves nothing.

    Args:
        length: Of the whole training; the validation after its last batch is the caller's.
        on_the_way: Whether to validate before that.

    Attributes:
        reports: The `val/` metrics of each validation, in their order.
    """

    def __init__(self, length: Length, on_the_way: bool) -> None:
        self.length, self.on_the_way = length, on_the_way
        self.reports: list[dict[str, float]] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Validate where that is due after batch `batch_idx`, counted from 0."""
        done = batch_idx + 1
        due = is_due(done, self.length.validate_every, trainer.accumulate_grad_batches)
        if self.on_the_way and due and done < self.length.batches:
            validate_now(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep and log the metrics of a validation."""
        self.reports.append(validation_metrics(trainer))
        log_everywhere(trainer, self.reports[-1], trainer.global_step)


def validation_metrics(trainer: Trainer) -> dict[str, float]:
    """Return the `val/` metrics of the last validation."""
    metrics = trainer.callback_metrics.items()
    return {name: float(value) for name, value in metrics if name.startswith("val/")}


def is_due(done: int, validate_every: int, accumulate: int) -> bool:
    """Return whether a validation follows `done` batches: never inside an optimizer step."""
    return done % validate_every == 0 and done % accumulate == 0


def count_validations(done: int, validate_every: int, accumulate: int, total: int) -> int:
    """Return how many validations follow the first `done` batches of `total`."""
    regular = done // math.lcm(validate_every, accumulate)
    is_extra = done >= total and not is_due(total, validate_every, accumulate)
    return regular + is_extra
