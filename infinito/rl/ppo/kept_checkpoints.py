"""Checkpoints kept on the way, and the pruning of those that nobody asked to keep."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

_NAME = re.compile(r"step_(\d+)\.ckpt")


class KeptCheckpoints(Checkpoint):
    """Writes `step_<environment steps>.ckpt` every `save_freq` steps and prunes.

    Args:
        folder: Where checkpoints lie.
        save_freq: Environment steps.
        keep: "every:<steps>" keeps the first checkpoint at or after each multiple; "best" and
            "last" are files of their own, deleted when training ends unless they are named.
    """

    def __init__(self, folder: Path, save_freq: int, keep: Sequence[str]) -> None:
        super().__init__()
        self.folder, self.save_freq, self.keep = folder, save_freq, list(keep)
        self.before = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Counts from the steps that are done."""
        self.before = int(pl_module.timesteps)  # type: ignore[arg-type]

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Saves when a multiple of `save_freq` has been passed."""
        done = int(pl_module.timesteps)  # type: ignore[arg-type]
        if done // self.save_freq > self.before // self.save_freq:
            trainer.save_checkpoint(self.folder / f"step_{done:09d}.ckpt")
            for path in find_prunable(self.folder, self.keep):
                path.unlink()
        self.before = done


def list_kept(folder: Path) -> list[tuple[int, Path]]:
    """The kept checkpoints of a folder with their environment steps, in order."""
    found = [(match, path) for path in folder.glob("*.ckpt") if (match := _NAME.match(path.name))]
    return sorted((int(match[1]), path) for match, path in found)


def find_prunable(folder: Path, keep: Sequence[str]) -> list[Path]:
    """The step checkpoints that `keep` does not name."""
    steps = [int(rule.partition(":")[2]) for rule in keep if rule.startswith("every:")]
    kept: set[Path] = set()
    for every in steps:
        before = 0
        for done, path in list_kept(folder):
            if done // every > before // every:
                kept.add(path)
            before = done
    return [path for _, path in list_kept(folder) if path not in kept]
