"""Pauses a trial of a sweep on its way; a later launch goes on as if it had never stopped."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer

from infinito.config import RunConf
from infinito.errors import ResumeError
from infinito.models.checkpoint_file import read_checkpoint
from infinito.run_folder.series.metrics_file import FILE as METRICS
from infinito.training.callbacks.milestones import settle_progress

STATE = "state.ckpt"
"""In the folder of a paused trial."""

KEY = "trial"
"""Where a checkpoint keeps the digest of the trial's configuration."""


@dataclass(frozen=True)
class PausedTrial:
    """The state of a trial that pauses, in a folder of its own.

    Args:
        conf: The trial's configuration; `trainer.paused_in` names the folder.
    """

    conf: RunConf

    @property
    def folder(self) -> Path:
        """Where the state lies while the trial pauses."""
        return Path(str(self.conf.trainer.paused_in))

    @property
    def file(self) -> Path:
        """The checkpoint of that state."""
        return self.folder / STATE

    def read(self) -> dict[str, Any] | None:
        """Return the checkpoint to go on from; None where the trial begins.

        Raises:
            CheckpointError: It is damaged.
            ResumeError: It is of a trial with other settings.
        """
        if self.conf.trainer.paused_in is None or not self.file.is_file():
            return None
        content = read_checkpoint(self.file, mapped=True)
        if content.get(KEY) != digest(self.conf):
            raise ResumeError(
                f"`trainer.paused_in`={self.folder} holds a trial with other settings. "
                "Name another folder, or repeat the trial's own settings"
            )
        return content

    def fetch_metrics(self, run: Path) -> None:
        """Copy the figures so far into the folder of the launch that goes on."""
        if (self.folder / METRICS).is_file():
            shutil.copyfile(self.folder / METRICS, run / METRICS)

    def keep_metrics(self, run: Path) -> None:
        """Keep the figures of a launch that has paused, for the one that goes on."""
        shutil.copyfile(run / METRICS, self.folder / METRICS)


class Pausing(Callback):
    """Saves the state and ends the launch after a step of the training.

    Args:
        trial: Where to.
        steps: Optimizer steps of the whole training; it pauses after a share of them.

    Attributes:
        has_paused: Whether it has.
    """

    def __init__(self, trial: PausedTrial, steps: int) -> None:
        share = trial.conf.trainer.pause_at
        self.trial = trial
        self.step = steps if share is None else max(1, round(share * steps))
        self.steps = steps
        self.has_paused = False

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Pause once the step is done, unless it is the last one anyway."""
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        if self.step <= trainer.global_step < self.steps:
            trainer.save_checkpoint(self.trial.file)
            self.has_paused = trainer.should_stop = True

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add whose state it is, and let the training go on with the next batch."""
        checkpoint[KEY] = digest(self.trial.conf)
        done = trainer.fit_loop.total_batch_idx + 1
        settle_progress(checkpoint["loops"]["fit_loop"], done, checkpoint["global_step"])


def digest(conf: RunConf) -> str:
    """Return a digest of all settings of a trial but where it pauses."""
    whole = replace(conf.trainer, pause_at=None, paused_in=None)
    return hashlib.sha256(repr(replace(conf, trainer=whole)).encode()).hexdigest()[:16]
