"""One evaluation of one point, from the moment it is proposed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from infinito.search.space.parameters import Array

State = Literal["running", "finished", "failed"]


@dataclass
class Trial:
    """A point and its scores.

    Attributes:
        number: 0 for the first proposal of a search, and so on.
        params: Searched values by dotted name.
        values: One score for each objective, once finished.
        error: Why it failed.
        intermediate: Scores of the first objective before the end, by step.
    """

    number: int
    params: dict[str, Any]
    values: tuple[float, ...] | None = None
    state: State = "running"
    error: str | None = None
    intermediate: dict[int, float] = field(default_factory=dict)


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
