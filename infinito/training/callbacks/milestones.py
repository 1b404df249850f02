"""Validates, saves and stops at the right batches: a resumed run repeats an undisturbed one.

Training is one Lightning epoch over a stream of batches. After a batch this callback validates
where that is due, lets early stopping judge, saves, and obeys signals, always in this order. A
checkpoint means "the first n batches are done", with nothing half-way in it but perhaps a
validation to make up.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any, NoReturn

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from infinito.models.checkpoint_file import link_checkpoint
from infinito.run_folder.commands import build_command
from infinito.run_folder.folder import STABLE, STABLE_BEST
from infinito.training.callbacks.interruption import Interrupted, Interruption, describe_signal
from infinito.training.callbacks.validation import is_due, validate_now
from infinito.training.distributed.peers import Peers

SAVE_EVERY_S = 300.0
"""Seconds between saves of `last.ckpt` that nothing else asks for."""


class Milestones(Checkpoint):
    """Runs validation and writes `best.ckpt` and `last.ckpt`, and what a longer run begins from.

    Args:
        folder: Where the two checkpoints lie.
        total_batches: Batches of the whole training.
        validate_every: Batches between validations; the last batch is always followed by one.
        save_every_steps: Optimizer steps between extra saves of `last.ckpt`, or None.
        save_every_s: Seconds between extra saves of `last.ckpt`; None for `SAVE_EVERY_S`.
        interruption: Holds the signal that stops the run, if one came.
        monitor: The validation metric whose minimum is the best.
        peers: The other processes, which save and stop after the same batch; None where there are
            none.
        stable_steps: Optimizer steps after which to keep `stable.ckpt`, and the best until then as
            `stable_best.ckpt`; None for neither.
    """

    def __init__(
        self,
        folder: Path,
        total_batches: int,
        validate_every: int,
        save_every_steps: int | None = None,
        save_every_s: float | None = None,
        interruption: Interruption | None = None,
        monitor: str = "val/loss",
        peers: Peers | None = None,
        stable_steps: int | None = None,
    ) -> None:
        super().__init__()
        self.folder = folder
        self.total_batches = total_batches
        self.validate_every = validate_every
        self.save_every_steps = save_every_steps
        self.save_every_s = SAVE_EVERY_S if save_every_s is None else save_every_s
        self.interruption = interruption or Interruption()
        self.monitor = monitor
        self.peers = peers or Peers(folder.parent)
        self.stable_steps = stable_steps
        self.best_score = float("inf")
        self.best_batch = 0
        self.validation_pending = False
        self._saved_at_s = time.monotonic()

    KEY = "Milestones"
    """Where a checkpoint keeps this callback's state."""

    @property
    def state_key(self) -> str:
        return self.KEY

    def state_dict(self) -> dict[str, Any]:
        return {
            "best_score": self.best_score,
            "best_batch": self.best_batch,
            "validation_pending": self.validation_pending,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best_score = state_dict["best_score"]
        self.best_batch = state_dict["best_batch"]
        self.validation_pending = state_dict["validation_pending"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Makes up what the interrupted run did not finish after its last batch."""
        self._catch_up(trainer)
        if trainer.global_step and trainer.global_step == self.stable_steps:
            self._keep_stable(trainer)  # the run may have ended between the two saves

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The same where no batch is left, since Lightning then starts no training."""
        self._catch_up(trainer)

    def _catch_up(self, trainer: Trainer) -> None:
        """Make up an interrupted validation and the verdict of early stopping."""
        self.interruption.take_over()  # Lightning has just put a handler of its own before ours
        if self.validation_pending:
            self._validate(trainer)
        stoppers = trainer.early_stopping_callbacks
        trainer.should_stop |= any(each.wait_count >= each.patience for each in stoppers)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Does what is due after batch `batch_idx` (counted from 0 over the whole training)."""
        done = batch_idx + 1
        accumulate = trainer.accumulate_grad_batches
        if done % accumulate and done != self.total_batches:
            return
        validates = is_due(done, self.validate_every, accumulate) or done == self.total_batches
        if validates:
            self.validation_pending = True
            self._validate(trainer)
        if trainer.global_step == self.stable_steps:
            self._keep_stable(trainer)
        saves = not validates and trainer.is_global_zero and self._is_time_to_save(trainer)
        number, one_saves = self.peers.agree(self.interruption.number or 0, saves)
        if number:
            self._stop(trainer, number)
        if one_saves:
            self._save(trainer, "last")

    def on_validation_batch_end(self, trainer: Trainer, *_: Any, **__: Any) -> None:
        """Leaves a validation on a signal; it is made up on resume."""
        if self.validation_pending:
            (number,) = self.peers.agree(self.interruption.number or 0)
            if number:
                self._stop(trainer, number)

    def _validate(self, trainer: Trainer) -> None:
        validate_now(trainer)
        self.validation_pending = False
        score = float(trainer.callback_metrics[self.monitor])
        if score < self.best_score:
            self.best_score, self.best_batch = score, trainer.fit_loop.total_batch_idx + 1
            self._save(trainer, "best")
            if self._best_is_last(trainer):
                return
        self._save(trainer, "last")

    def _best_is_last(self, trainer: Trainer) -> bool:
        """Give `best.ckpt` the name `last.ckpt`, too; return whether the file system allows it."""
        best, last = (self.folder / f"{name}.ckpt" for name in ("best", "last"))
        (refused,) = self.peers.agree(trainer.is_global_zero and not link_checkpoint(best, last))
        return not refused

    def _keep_stable(self, trainer: Trainer) -> None:
        self._save(trainer, Path(STABLE).stem)
        best = self.folder / "best.ckpt"
        if self.best_batch and trainer.is_global_zero:
            kept = self.folder / STABLE_BEST
            if not link_checkpoint(best, kept):
                shutil.copyfile(best, kept)

    def _is_time_to_save(self, trainer: Trainer) -> bool:
        steps = self.save_every_steps
        due = steps is not None and trainer.global_step % steps == 0
        return due or time.monotonic() - self._saved_at_s >= self.save_every_s

    def _stop(self, trainer: Trainer, number: int) -> NoReturn:
        """Save and end the training, after signal `number` reached a process."""
        self._save(trainer, "last")
        run = self.folder.parent
        raise Interrupted(
            number,
            f"{describe_signal(number)} after step {trainer.global_step}; everything is saved.\n"
            f"Go on with: {build_command({'resume': run})}",
        )

    def _save(self, trainer: Trainer, name: str) -> None:
        for logger in trainer.loggers:
            logger.save()  # a run that goes on from this checkpoint finds all that came before it
        trainer.save_checkpoint(self.folder / f"{name}.ckpt")
        self._saved_at_s = time.monotonic()

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Write "n batches done" into Lightning's loop counters, from whatever hook."""
        loops, done = checkpoint["loops"]["fit_loop"], trainer.fit_loop.total_batch_idx + 1
        settle_progress(loops, done, checkpoint["global_step"])


def settle_progress(fit_loop: dict[str, Any], batches: int, steps: int) -> None:
    """Rewrites the state of Lightning's fit loop to "the first `batches` batches are complete".

    Lightning restarts differently from each hook a checkpoint was saved in, and skips or repeats a
    validation at some of them; from this state it simply goes on with the next batch.
    """
    for counters in (
        (progress := fit_loop["epoch_loop.batch_progress"])["total"],
        progress["current"],
    ):
        counters.update(dict.fromkeys(counters, batches))
    progress["is_last_batch"] = False
    fit_loop["epoch_loop.state_dict"]["_batches_that_stepped"] = steps
    epoch = fit_loop["epoch_progress"]
    for counters in epoch["total"], epoch["current"]:
        counters.update(ready=1, started=1, processed=0, completed=0)
    validation = fit_loop["epoch_loop.val_loop.batch_progress"]
    for counters in validation["total"], validation["current"]:
        counters.update(dict.fromkeys(counters, 0))
    validation["is_last_batch"] = False
