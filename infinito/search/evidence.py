"""All trials of a search as arrays: where they lie, what they cost, which are still running."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infinito.search.scores import ranks, scalarised
from infinito.search.space.parameters import Array
from infinito.search.trials import Trial, losses


@dataclass(frozen=True)
class Evidence:
    """Trials in their order.

    Attributes:
        rows: (trials, parameters).
        table: (trials, objectives): less is better; a failed trial has the worst losses seen, one
            that is running has NaN.
        numbers: (trials,): their numbers, −1 for trials of earlier searches.
    """

    rows: Array
    table: Array
    numbers: NDArray[np.int64]

    @classmethod
    def of(
        cls, rows: Array, prior: Sequence[Trial], trials: Sequence[Trial], signs: Sequence[float]
    ) -> Evidence:
        """What these trials, which lie at these points, say."""
        every = [*prior, *trials]
        table = losses(every, signs)
        ended = np.array([trial.state != "running" for trial in every], dtype=bool)
        failed = ended & np.isnan(table[:, 0])
        if not np.isnan(table).all():
            table[failed] = np.nanmax(table, axis=0)
        numbers = [-1] * len(prior) + [trial.number for trial in trials]
        return cls(rows, table, np.array(numbers, dtype=int))

    @property
    def is_known(self) -> NDArray[np.bool_]:
        """(trials,): which have a loss."""
        return ~np.isnan(self.table[:, 0])

    def first(self, count: int) -> Evidence:
        """The evidence of the first trials."""
        return Evidence(self.rows[:count], self.table[:count], self.numbers[:count])

    def losses(self, rng: np.random.Generator | None = None) -> Array:
        """(trials,): one loss for each; several objectives are weighed at random, or equally."""
        return scalarised(self.table, rng)


def rewards(losses: Array) -> Array:
    """(trials,) in [0, 1], more is better; 0, a virtual loss, while a trial is running."""
    known = ~np.isnan(losses)
    found = np.zeros(len(losses))
    found[known] = ranks(losses[known])
    return found
