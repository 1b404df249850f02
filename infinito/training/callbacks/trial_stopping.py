"""Stops a trial of a sweep that does worse on its way than the others did."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from infinito.sweeps.record.plan import JOURNAL, reopen

FILE = "validations.txt"
"""In a trial's folder: a line `<batches> <loss>` for each validation."""

ENOUGH = 5
"""Other trials that must have come as far before one is judged."""

REDUCTION = 3
"""Successive halving keeps the best of so many, at rungs that many times apart."""


class TrialStopping(Callback):
    """Ends a training that a validation on its way finds behind its siblings.

    It is compared with the trials in its region of the search's tree, the smallest in which enough
    have come as far, as what is good differs between regions. That depends on which others are
    there, so with several trials in flight a sweep that stops trials does not repeat itself.

    Args:
        folder: Of the trial; its siblings are the other folders beside it.
        rule: "median" or "halving".
        validate_every: Batches between validations.
    """

    def __init__(self, folder: Path, rule: str, validate_every: int) -> None:
        self.folder = folder
        self.rule = rule
        self.validate_every = validate_every
        self._losses: list[float] = []

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write down a validation of the training, and compare it with those of the others."""
        if trainer.state.fn == TrainerFn.FITTING and self._is_behind(trainer):
            trainer.should_stop = True

    def _is_behind(self, trainer: Trainer) -> bool:
        done = trainer.fit_loop.total_batch_idx + 1
        self._losses.append(float(trainer.callback_metrics["val/loss"]))
        with (self.folder / FILE).open("a", encoding="utf-8") as file:
            file.write(f"{done} {self._losses[-1]!r}\n")
        others = self._near({name: read_losses(each) for name, each in self._siblings()}, done)
        return is_bad(self.rule, done // self.validate_every, min(self._losses), done, others)

    def _near(self, others: dict[str, dict[int, float]], done: int) -> dict[str, dict[int, float]]:
        """Those in the smallest region of the sweep's tree where enough have come so far."""
        if not (self.folder.parent / JOURNAL).is_file():
            return others
        search, _ = reopen(self.folder.parent)
        for region in search.list_regions(int(self._name)):
            near = {name: others[name] for name in map(str, region) if name in others}
            if sum(done in losses for losses in near.values()) >= ENOUGH:
                return near
        return others

    @property
    def _name(self) -> str:
        return self.folder.name.partition(".")[0]

    def _siblings(self) -> list[tuple[str, Path]]:
        """The other trials' names and folders, of those that were launched again the last."""
        files = sorted(self.folder.parent.glob(f"*/{FILE}"), key=lambda file: file.stat().st_mtime)
        last = {file.parent.name.partition(".")[0]: file.parent for file in files}
        last.pop(self._name, None)
        return list(last.items())


def is_bad(
    rule: str, rung: int, best: float, done: int, others: Mapping[Any, Mapping[int, float]]
) -> bool:
    """Whether a trial should stop.

    Args:
        rule: "median": its best loss is above the median of the others' at this point.
            "halving": at validations 1, 3, 9 … it is not among the best third.
        rung: Validations so far.
        best: Its best loss so far.
        done: Batches so far.
        others: For each other trial, losses by batches.

    Source: Golovin et al., Google Vizier (2017), and Li et al., A System for Massively Parallel
        Hyperparameter Tuning (2020).
    """
    there = sorted(losses[done] for losses in others.values() if done in losses)
    if len(there) < ENOUGH:
        return False
    if rule == "median":
        return best > statistics.median(there)
    return _is_rung(rung) and best > _kept_limit(there, best)


def read_losses(folder: Path) -> dict[int, float]:
    """Return losses by batches that a trial has written, without a line still being written."""
    lines = (folder / FILE).read_text(encoding="utf-8").split("\n")[:-1]
    return {int(done): float(loss) for done, loss in (line.split() for line in lines)}


def _is_rung(rung: int) -> bool:
    while rung % REDUCTION == 0:
        rung //= REDUCTION
    return rung == 1


def _kept_limit(there: Sequence[float], best: float) -> float:
    """The worst loss that still goes on, of all trials that came so far, this one counted."""
    everyone = sorted([*there, best])
    return everyone[max(1, len(everyone) // REDUCTION) - 1]
