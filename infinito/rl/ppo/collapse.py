"""Tells a policy that became worse from chance differences between its episodes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import stats

SIGNIFICANT = 0.01
"""Significance level of the tests."""


def measure_gap(train: np.ndarray, held_out: np.ndarray) -> tuple[float, float]:
    """Return how much more the policy earns from training start states than from held-out ones.

    Returns:
        The difference of the mean returns, and Welch's one-sided p-value of "no difference".
    """
    gap = float(train.mean() - held_out.mean())
    if np.ptp(train) == 0 and np.ptp(held_out) == 0:
        return gap, 1.0 if gap <= 0 else 0.0
    return gap, float(stats.ttest_ind(train, held_out, equal_var=False, alternative="greater")[1])


def compute_decline_p(now: np.ndarray, best: np.ndarray) -> float:
    """Return the paired one-sided p-value of "returns (episodes,) are not below the best ones"."""
    difference = now - best
    if np.ptp(difference) == 0:
        return 1.0 if difference[0] >= 0 else 0.0
    return float(stats.ttest_1samp(difference, 0.0, alternative="less")[1])


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
        p_value = compute_decline_p(returns, np.array(self.best))
        self.declined = self.declined + 1 if p_value < SIGNIFICANT else 0
        return p_value

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a checkpoint keeps."""
        return {"best": self.best, "declined": self.declined}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a saved state."""
        self.best, self.declined = list(state["best"]), state["declined"]
