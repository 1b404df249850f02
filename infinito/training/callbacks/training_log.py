"""Logs training loss, rate, gradient norm and throughput every few steps, straight to the logger.

Lightning's `self.log` costs a good part of a millisecond a step; at this cadence it costs nothing.
"""

from __future__ import annotations

import time
from typing import Any

from lightning import Callback, LightningModule, Trainer


class TrainingLog(Callback):
    """Writes `train/*` scalars every `every` steps.

    Args:
        every: Optimizer steps between logged points.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self.tokens_per_s: float | None = None
        self._tokens = 0
        self._training_s = 0.0
        self._all_tokens = 0
        self._all_training_s = 0.0
        self._since_s = time.perf_counter()
        self._started_s = time.perf_counter()
        self._earlier_s = 0.0

    @property
    def elapsed_s(self) -> float:
        """Seconds since this was made, and those of the runs that a resumed one goes on with."""
        return self._earlier_s + time.perf_counter() - self._started_s

    def state_dict(self) -> dict[str, Any]:
        """The times, so that a resumed run reports those of the whole training."""
        return {
            "elapsed_s": self.elapsed_s,
            "tokens": self._all_tokens,
            "training_s": self._all_training_s,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes the times of the interrupted run."""
        self._earlier_s = state_dict["elapsed_s"]
        self._all_tokens = state_dict["tokens"]
        self._all_training_s = state_dict["training_s"]

    @property
    def mean_tokens_per_s(self) -> float | None:
        """Throughput of the whole training so far, validation and saving left out."""
        return self._all_tokens / self._all_training_s if self._all_training_s else None

    def on_train_batch_start(self, trainer: Trainer, *_: Any, **__: Any) -> None:
        """Starts the clock again after anything that was not training."""
        if self._tokens == 0:
            self._since_s = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Counts the batch, and logs when a step is due."""
        self._tokens += batch[:, 1:].numel() * trainer.world_size
        if (batch_idx + 1) % (self.every * trainer.accumulate_grad_batches):
            return
        loss = float(pl_module.last_loss)  # type: ignore[arg-type]
        elapsed_s = time.perf_counter() - self._since_s
        self._all_tokens += self._tokens
        self._all_training_s += elapsed_s
        self.tokens_per_s = self._tokens / elapsed_s
        self._tokens = 0
        values = {
            "train/loss": loss,
            "train/learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            "train/gradient_norm": float(pl_module.last_gradient_norm),  # type: ignore[arg-type]
            "train/tokens_per_s": self.tokens_per_s,
            **getattr(pl_module, "step_metrics", dict)(),
        }
        if trainer.logger is not None:
            trainer.logger.log_metrics(values, step=trainer.global_step)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keeps validation out of the throughput: the tokens since the last point are not timed."""
        self._tokens = 0
