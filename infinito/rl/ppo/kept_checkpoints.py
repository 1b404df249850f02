"""Saves checkpoints on the way of a training and deletes those that `rl.keep` does not name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

_NAME = re.compile(r"step_(\d+)\.ckpt")


class KeptCheckpoints(Checkpoint):
    """Writes `step_<environment steps>.ckpt` every `save_freq` steps, then prunes.

    Args:
        folder: Folder of the checkpoints.
        save_freq: Environment steps between checkpoints.
        keep: "every:<steps>" keeps the first checkpoint at or after each multiple of <steps>.
            "best" and "last" name files that are always written during training, and deleted at
            its end unless they are named here.
    """

    def __init__(self, folder: Path, save_freq: int, keep: Sequence[str]) -> None:
        super().__init__()
        self.folder, self.save_freq, self.keep = folder, save_freq, list(keep)
        self.before = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count from the environment steps that a resumed run has done."""
        self.before = int(pl_module.timesteps)  # type: ignore[arg-type]

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if the rollout passed a multiple of `save_freq`."""
        done = int(pl_module.timesteps)  # type: ignore[arg-type]
        if done // self.save_freq > self.before // self.save_freq:
            trainer.save_checkpoint(self.folder / f"step_{done:09d}.ckpt")
            for path in find_prunable(self.folder, self.keep):
                path.unlink()
        self.before = done


def list_kept(folder: Path) -> list[tuple[int, Path]]:
    """Return the environment steps and paths of a folder's step checkpoints, in order."""
    found = [(match, path) for path in folder.glob("*.ckpt") if (match := _NAME.match(path.name))]
    return sorted((int(match[1]), path) for match, path in found)


def find_prunable(folder: Path, keep: Sequence[str]) -> list[Path]:
    """Return the step checkpoints that no "every:<steps>" of `keep` asks for."""
    intervals = [int(rule.partition(":")[2]) for rule in keep if rule.startswith("every:")]
    kept: set[Path] = set()
    for interval in intervals:
        before = 0
        for done, path in list_kept(folder):
            if done // interval > before // interval:
                kept.add(path)
            before = done
    return [path for _, path in list_kept(folder) if path not in kept]
