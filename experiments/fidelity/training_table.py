"""Trainings read from the table, with the compute that each would have taken."""

from __future__ import annotations

from collections.abc import Sequence

from spaces import POINTS, Curves


class BudgetSpent(Exception):
    """The compute of a search is used up."""


class Trainer:
    """Trains settings as a search asks for it.

    A training goes on where an earlier one of the same settings stopped, whoever asks; so a sampler
    that proposes a setting again pays nothing for it.

    Args:
        curves: Of a space.
        budget: Compute that may be spent, in whole trainings of average cost.
        most: Trials after which the search ends in any case.

    Attributes:
        found: Compute and regret at each whole training that was better than all before. Regret is
            its loss minus the least of the space, over the spread of the space.
    """

    def __init__(self, curves: Curves, budget: float, most: int = 2000) -> None:
        self.curves = curves
        self.budget = budget
        self.most = most
        self.spent = 0.0
        self.trials = 0
        self.found: list[tuple[float, float]] = []
        self._trained: dict[tuple[int, ...], int] = {}
        self._rows = {point: at for at, point in enumerate(curves.space.points)}

    def begin(self) -> None:
        """Count a trial.

        Raises:
            BudgetSpent: There were too many.
        """
        self.trials += 1
        if self.trials > self.most:
            raise BudgetSpent

    def train(self, point: Sequence[int], until: int) -> float:
        """Return the loss of a training at one of its `POINTS` validations, counted from 1.

        Raises:
            BudgetSpent: The compute does not suffice.
        """
        key = tuple(point)
        row = self._rows[key]
        new = max(0, until - self._trained.get(key, 0))
        self.spent += new / POINTS * float(self.curves.costs[row])
        if self.spent > self.budget:
            raise BudgetSpent
        self._trained[key] = max(until, self._trained.get(key, 0))
        loss = float(self.curves.losses[row, until - 1])
        if until == POINTS:
            regret = (loss - self.curves.best) / self.curves.spread
            if not self.found or regret < self.found[-1][1]:
                self.found.append((self.spent, regret))
        return loss
