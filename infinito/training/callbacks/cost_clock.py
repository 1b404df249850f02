"""Times the steps, a validation and a save of a training that ends once it knows them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer

from infinito.run_folder.records import write_json
from infinito.training.callbacks.interruption import Interrupted, Interruption, describe_signal
from infinito.training.callbacks.validation import validate_now
from infinito.training.distributed.peers import Peers

WARM_UP_STEPS = 2
"""Steps before the timed ones: they set up what later steps find."""

LEAST_STEPS = 3
"""Timed steps, even where they take longer than allowed."""


@dataclass(frozen=True)
class Costs:
    """What the parts of a training take, in seconds of wall clock."""

    step_s: float
    validation_s: float
    """Of all its batches, with the figures and the sample text that it leaves."""
    save_s: float


class CostClock(Callback):
    """Measures `Costs` in a training of any length, and ends it.

    The first process decides when to end, and its figures hold for all.

    Args:
        folder: Where to save, and where `costs_<rank>.json` is left with the figures.
        time_s: Seconds that the timed steps may take.
        validation_batches: Batches of a whole validation; the trainer may be limited to fewer.
        interruption: Holds the signal that stops the run, if one came.
        peers: The other processes, which a signal to one of them stops as well.
    """

    FILE = "costs_{}.json"

    def __init__(
        self,
        folder: Path,
        time_s: float,
        validation_batches: int,
        interruption: Interruption,
        peers: Peers,
    ) -> None:
        self.folder, self.time_s = folder, time_s
        self.validation_batches = validation_batches
        self.interruption, self.peers = interruption, peers
        self._steps = 0
        self._since_s = 0.0
        self._batch_ends_s: list[float] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Handle signals before Lightning's own handler does."""
        self.interruption.take_over()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count a complete step; after the last, measure the rest and stop."""
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        self._obey_signals()
        now_s = time.perf_counter()
        self._steps += 1
        if self._steps == WARM_UP_STEPS:
            self._since_s = now_s
        timed = self._steps - WARM_UP_STEPS
        is_over = timed >= LEAST_STEPS and now_s - self._since_s >= self.time_s
        if not trainer.strategy.broadcast(is_over):
            return
        step_s = (now_s - self._since_s) / timed
        validate_now(trainer)  # the first one imports and allocates
        self._batch_ends_s.clear()
        validation_s = _seconds(lambda: validate_now(trainer)) + self._left_out_s()
        save_s = _seconds(lambda: trainer.save_checkpoint(self.folder / "measured.ckpt"))
        costs = trainer.strategy.broadcast(asdict(Costs(step_s, validation_s, save_s)))
        write_json(self.folder / self.FILE.format(trainer.global_rank), costs)
        trainer.should_stop = True

    def on_validation_batch_end(self, *_: Any, **__: Any) -> None:
        """Note the time."""
        self._batch_ends_s.append(time.perf_counter())

    def _left_out_s(self) -> float:
        """Return what the batches take that the trainer's limit leaves out."""
        ends_s = self._batch_ends_s
        if len(ends_s) >= self.validation_batches or len(ends_s) < 2:
            return 0.0
        batch_s = (ends_s[-1] - ends_s[0]) / (len(ends_s) - 1)
        return batch_s * (self.validation_batches - len(ends_s))

    def _obey_signals(self) -> None:
        (number,) = self.peers.agree(self.interruption.number or 0)
        if number:
            raise Interrupted(
                number,
                f"{describe_signal(number)} while the time of a step was measured; "
                "there was nothing to save.",
            )


def _seconds(action: Callable[[], Any]) -> float:
    started_s = time.perf_counter()
    action()
    return time.perf_counter() - started_s
