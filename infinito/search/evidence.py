"""All trials of a search as arrays: where they lie, what they cost, which are still running."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infinito.search.parameters import Array
from infinito.search.scores import ranks, scalarised
from infinito.search.space import Space
from infinito.search.trials import Trial, losses


@dataclass(frozen=True)
class Evidence:
    """Trials in their order.

    Attributes:
        rows: (trials, parameters).
        losses: (trials,): less is better; a failed trial has the worst loss seen, one that is
            running has NaN.
        numbers: (trials,): their numbers, −1 for trials of earlier searches.
    """

    rows: Array
    losses: Array
    numbers: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        space: Space,
        prior: Sequence[Trial],
        trials: Sequence[Trial],
        signs: Sequence[float],
        rng: np.random.Generator,
    ) -> Evidence:
        """What these trials say; `rng` weighs several objectives."""
        every = [*prior, *trials]
        rows = np.array([space.encode(trial.params) for trial in every])
        one = scalarised(losses(every, signs), rng)
        failed = np.array([trial.state == "failed" for trial in every], dtype=bool)
        if not np.isnan(one).all():
            one[failed] = np.nanmax(one)
        numbers = [-1] * len(prior) + [trial.number for trial in trials]
        return cls(rows.reshape(len(every), len(space.names)), one, np.array(numbers, dtype=int))

    @property
    def is_known(self) -> NDArray[np.bool_]:
        """(trials,): which have a loss."""
        return ~np.isnan(self.losses)

    def rewards(self) -> Array:
        """(trials,) in [0, 1], more is better; 0, a virtual loss, while a trial is running."""
        rewards = np.zeros(len(self.losses))
        rewards[self.is_known] = ranks(self.losses[self.is_known])
        return rewards
