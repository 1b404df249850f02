"""Logs preference tuning under TRL's metric names, and warns of displacement."""

from __future__ import annotations

import logging
from typing import Any

from lightning import Callback, LightningModule, Trainer

from infinito.preferences.objective.metrics import describe_displacement
from infinito.preferences.reference.policies import FreeReference
from infinito.training.callbacks.throughput import Throughput
from infinito.training.report.metrics_logger import log_everywhere

log = logging.getLogger(__name__)


class PreferenceLog(Callback):
    """Logs means over each `every` batches, over the last ones of the training, and validations.

    Args:
        every: Batches between logged points; whole optimizer steps, so that no point is the mean of
            a part of one.

    Attributes:
        history: What was logged: figures by name, with their "step"; a resumed run continues it.
            Held-out figures have names that begin with "val/".
    """

    KEY = "PreferenceLog"
    """Key of this callback's state in a checkpoint."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.history: list[dict[str, float]] = []
        self.throughput = Throughput()
        self._warned = False

    @property
    def state_key(self) -> str:
        return self.KEY

    def state_dict(self) -> dict[str, Any]:
        clock = self.throughput.state_dict()
        return {"history": self.history, "warned": self._warned, "throughput": clock}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history, self._warned = state_dict["history"], state_dict["warned"]
        if clock := state_dict.get("throughput"):  # checkpoints of old lack it
            self.throughput.load_state_dict(clock)

    def on_train_batch_start(self, trainer: Trainer, *_: Any, **__: Any) -> None:
        """Restart the clock after anything that was not training."""
        self.throughput.start_batch()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the batch, and log when a point is due."""
        self.throughput.count(batch.input_tokens * trainer.world_size)
        if (batch_idx + 1) % self.every and batch_idx + 1 != trainer.num_training_batches:
            return
        tokens_per_s = self.throughput.close_window()
        task: Any = pl_module
        values = task.training_means.take(trainer.strategy)
        values["train/loss"] = values.pop("loss")
        values["train/learning_rate"] = trainer.optimizers[0].param_groups[0]["lr"]
        if task.last_gradient_norm is not None:
            values["train/gradient_norm"] = float(task.last_gradient_norm)
            task.last_gradient_norm = None  # an accumulating batch has none
        self._record(trainer, values, {"train/tokens_per_s": tokens_per_s})

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep validation out of the throughput: tokens since the last point are not timed."""
        self.throughput.drop_window()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the held-out figures, and warn once if chosen answers are displaced."""
        if trainer.sanity_checking:
            return
        values = {
            name: float(value)
            for name, value in trainer.callback_metrics.items()
            if name.startswith("val/")
        }
        self._record(trainer, values, {})
        task: Any = pl_module
        if self._warned or isinstance(task.reference, FreeReference):
            return
        means = {name.removeprefix("val/"): value for name, value in values.items()}
        if warning := describe_displacement(means):
            self._warned = True
            log.warning("step %d: %s", trainer.global_step, warning)

    def _record(self, trainer: Trainer, values: dict[str, float], timing: dict[str, float]) -> None:
        """Log figures and keep them; timing is not kept, as it differs between equal runs."""
        self.history.append({"step": trainer.global_step, **values})
        shown = {  # as transformers' Trainer writes TRL's names to TensorBoard
            name if name.startswith(("train/", "val/")) else f"train/{name}": value
            for name, value in {**values, **timing}.items()
        }
        log_everywhere(trainer, shown, trainer.global_step)
