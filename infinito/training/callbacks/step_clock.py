"""The time of optimizer steps, and the last training loss."""

from __future__ import annotations

import statistics
import time
from typing import Any

from lightning import Callback, LightningModule, Trainer


class StepClock(Callback):
    """Times optimizer steps and keeps the last training loss."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.last_loss = float("nan")
        self._since_s = 0.0

    @property
    def median_s(self) -> float:
        """Of a step."""
        return statistics.median(self.seconds)

    def state_dict(self) -> dict[str, Any]:
        """Return the times, so that a trial that goes on reports those of all its steps."""
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the times of the steps before a pause."""
        self.seconds = list(state_dict["seconds"])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clock."""
        self._since_s = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Takes the time of a step that is complete."""
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0:
            now_s = time.perf_counter()
            self.seconds.append(now_s - self._since_s)
            self._since_s = now_s

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Reads the loss once: on a GPU this waits for it."""
        self.last_loss = float(pl_module.last_loss)  # type: ignore[arg-type]
