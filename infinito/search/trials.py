"""One evaluation of one point, from the moment it is proposed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from infinito.search.space.parameters import Array

State = Literal["running", "paused", "finished", "failed"]

Confirmed = Literal["recommended", "defaults"]


@dataclass
class Trial:
    """A point and its scores.

    A trial that has paused may go on, and is then running again.

    Attributes:
        number: 0 for the first proposal of a search, and so on.
        params: Searched values by dotted name.
        values: One score for each objective, once finished.
        error: Why it failed.
        repeat: Trials of the same point before this one: each has a seed of its own.
        curve: Scores at the rungs of the training so far, the end included; empty in a search
            without rungs.
        confirms: What the trial is to confirm once the search has ended, with fresh seeds; None
            for a trial of the search itself.
    """

    number: int
    params: dict[str, Any]
    values: tuple[float, ...] | None = None
    state: State = "running"
    error: str | None = None
    repeat: int = 0
    confirms: Confirmed | None = None
    curve: list[float] = field(default_factory=list)

    def settle(self, scores: Sequence[float], is_whole: bool) -> None:
        """Take the scores of a launch, after which the trial has finished or paused.

        Args:
            scores: One for each objective.
            is_whole: Whether the launch went to the end of the training.
        """
        if not is_whole or self.curve:
            self.curve.append(scores[0])
        self.state = "finished" if is_whole else "paused"
        self.values = tuple(scores) if is_whole else None


def tabulate_losses(trials: Sequence[Trial], signs: Sequence[float]) -> Array:
    """(trials, objectives): scores signed so that less is better; NaN where a trial has none.

    Args:
        trials: In any state.
        signs: 1 for an objective to minimise, −1 for one to maximise.
    """
    table = np.full((len(trials), len(signs)), math.nan)
    for row, trial in zip(table, trials, strict=True):
        if trial.state == "finished" and trial.values and all(map(math.isfinite, trial.values)):
            row[:] = [sign * value for sign, value in zip(signs, trial.values, strict=True)]
    return table
