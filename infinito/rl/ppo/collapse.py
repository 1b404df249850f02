"""Tells a policy that became worse from chance differences between its episodes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from infinito.statistics import paired_difference, welch_test

SIGNIFICANT = 0.01
"""Significance level of the tests."""


def measure_gap(train: np.ndarray, held_out: np.ndarray) -> tuple[float, float]:
    """Return how much more the policy earns from training start states than from held-out ones.

    Returns:
        The difference of the mean returns, and Welch's one-sided p-value of "no difference".
    """
    found = welch_test(train, held_out, "greater")
    return found.difference.mean, found.p_value


@dataclass
class CollapseMonitor:
    """Counts consecutive validations that are significantly below the best one.

    Args:
        patience: Number of them that ends the training; None never ends it.
    """

    patience: int | None
    best: list[float] = field(default_factory=list)
    """Validation returns of the best policy so far, (episodes,)."""
    declined: int = 0

    @property
    def collapsed(self) -> bool:
        """Whether training should stop."""
        return self.patience is not None and self.declined >= self.patience

    def judge(self, returns: np.ndarray) -> float:
        """Count a validation with these returns (episodes,) and return its decline p-value."""
        mean = float(returns.mean())
        if not math.isfinite(mean) or not self.best or mean > np.mean(self.best):
            self.best, self.declined = returns.tolist(), 0
            return 1.0
        p_value = paired_difference(returns, self.best, "less").p_value
        self.declined = self.declined + 1 if p_value < SIGNIFICANT else 0
        return p_value

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a checkpoint keeps."""
        return {"best": self.best, "declined": self.declined}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a saved state."""
        self.best, self.declined = list(state["best"]), state["declined"]
