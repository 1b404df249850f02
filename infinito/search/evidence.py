"""All trials of a search as arrays: where they lie, what they cost, which are still running."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from infinito.search.rungs import Curves
from infinito.search.scores import rank, scalarise
from infinito.search.space.parameters import Array
from infinito.search.trials import Trial, tabulate_losses

EARLIER_SEARCH = -1
"""Stands in the place of a number for trials of earlier searches."""

VIRTUAL_REWARD = 0.0
"""Reward of a trial that is still running: a virtual loss, which turns the next walk elsewhere."""


@dataclass(frozen=True)
class Evidence:
    """Trials in their order.

    Attributes:
        rows: (trials, parameters).
        table: (trials, objectives): less is better; NaN for a failed, paused or running trial.
        numbers: (trials,): their numbers, `EARLIER_SEARCH` for trials of earlier searches.
        failed: (trials,): which have ended without a loss.
        curves: Scores on the way, where trials pause; None where they do not.
    """

    rows: Array
    table: Array
    numbers: NDArray[np.int64]
    failed: NDArray[np.bool_]
    curves: Curves | None = None

    @classmethod
    def collect(
        cls, rows: Array, prior: Sequence[Trial], trials: Sequence[Trial], signs: Sequence[float]
    ) -> Evidence:
        """Turn trials into arrays.

        Args:
            rows: (trials, parameters): the points of the earlier and then of the own trials.
            prior: Trials of earlier searches.
            trials: The search's own.
            signs: See `tabulate_losses`.
        """
        every = [*prior, *trials]
        table = tabulate_losses(every, signs)
        ended = np.array([trial.state in ("finished", "failed") for trial in every], dtype=bool)
        numbers = [EARLIER_SEARCH] * len(prior) + [trial.number for trial in trials]
        return cls(rows, table, np.array(numbers, dtype=int), ended & np.isnan(table[:, 0]))

    @cached_property
    def losses(self) -> Array:
        """(trials, objectives): the table, where a failed trial has the worst losses so far."""
        losses = self.table.copy()
        if not np.isnan(losses).all():
            losses[self.failed] = np.nanmax(losses, axis=0)
        return losses

    @property
    def is_known(self) -> NDArray[np.bool_]:
        """(trials,): which have a loss."""
        return ~np.isnan(self.losses[:, 0])

    def take_first(self, count: int) -> Evidence:
        """Return the evidence of the first trials, which knows nothing of later ones."""
        return self._take(slice(count))

    def take_where(self, kept: NDArray[np.bool_]) -> Evidence:
        """Return the evidence of some trials (trials,) in their order."""
        return self._take(kept)

    def _take(self, kept: slice | NDArray[np.bool_]) -> Evidence:
        return Evidence(self.rows[kept], self.table[kept], self.numbers[kept], self.failed[kept])

    def count_settled(self) -> int:
        """Return how many trials there are before the first one that is running."""
        running = np.flatnonzero(np.isnan(self.table[:, 0]) & ~self.failed)
        return int(running[0]) if len(running) else len(self.rows)

    def scalarise(self, rng: np.random.Generator | None = None) -> Array:
        """(trials,): one loss for each; several objectives have random weights, or equal ones."""
        return scalarise(self.losses, rng)


def compute_rewards(losses: Array) -> Array:
    """(trials,) in [0, 1], more is better; `VIRTUAL_REWARD` where the loss is NaN."""
    known = ~np.isnan(losses)
    rewards = np.full(len(losses), VIRTUAL_REWARD)
    rewards[known] = rank(losses[known])
    return rewards
