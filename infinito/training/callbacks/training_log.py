"""Logs training loss, rate, gradient norm and throughput every few steps, straight to the loggers.

Lightning's `self.log` costs a good part of a millisecond a step; at this cadence it costs nothing.
"""

from __future__ import annotations

import time
from typing import Any

from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from infinito.data.conversations.layouts import ConversationBatch
from infinito.training.callbacks.throughput import Throughput
from infinito.training.distributed.reduction import mean_over_processes
from infinito.training.report.metrics_logger import log_everywhere


class TrainingLog(Callback):
    """Writes `train/*` scalars every `every` steps.

    Args:
        every: Optimizer steps between logged points.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self.throughput = Throughput()
        self._started_s = time.perf_counter()
        self._earlier_s = 0.0

    @property
    def elapsed_s(self) -> float:
        """Seconds since this was made, and those of the runs that a resumed one goes on with."""
        return self._earlier_s + time.perf_counter() - self._started_s

    def state_dict(self) -> dict[str, Any]:
        """Return the times, so that a resumed run reports those of the whole training."""
        return {
            "elapsed_s": self.elapsed_s,
            **self.throughput.state_dict(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes the times of the interrupted run."""
        self._earlier_s = state_dict["elapsed_s"]
        self.throughput.load_state_dict(state_dict)

    def on_train_batch_start(self, trainer: Trainer, *_: Any, **__: Any) -> None:
        """Start the clock again after anything that was not training."""
        self.throughput.start_batch()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Counts the batch, and logs when a step is due."""
        self.throughput.count(count_tokens(batch) * trainer.world_size)
        if (batch_idx + 1) % (self.every * trainer.accumulate_grad_batches):
            return
        loss = float(mean_over_processes(pl_module.last_loss))  # type: ignore[arg-type]
        tokens_per_s = self.throughput.close_window()
        values = {
            "train/loss": loss,
            "train/learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            "train/gradient_norm": float(pl_module.last_gradient_norm),  # type: ignore[arg-type]
            "train/tokens_per_s": tokens_per_s,
            **getattr(pl_module, "step_metrics", dict)(),
        }
        log_everywhere(trainer, values, trainer.global_step)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keeps validation out of the throughput: the tokens since the last point are not timed."""
        self.throughput.drop_window()


def count_tokens(batch: Tensor | ConversationBatch) -> int:
    """Return the tokens of a batch that a model reads."""
    return batch[:, 1:].numel() if isinstance(batch, Tensor) else batch.input_tokens
