"""Learning-rate schedules as functions of the optimizer step."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any


def rate_factor(
    schedule: str, warmup_steps: int, total_steps: int, min_ratio: float
) -> Callable[[int], float]:
    """A function from the step (from 0) to the learning rate over its peak.

    Args:
        schedule: "cosine" falls from 1 to `min_ratio` at `total_steps`; "constant" and "plateau"
            stay at 1 (the plateau's reductions come on top).
        warmup_steps: Steps of linear rise before that.
        total_steps: Steps of the whole training.
        min_ratio: Where the cosine ends.

    Source: cosine decay as in Loshchilov & Hutter, arXiv:1608.03983, eq. 5, without restarts.
    """

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / (warmup_steps + 1)
        if schedule != "cosine":
            return 1.0
        done = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
        return min_ratio + (1 - min_ratio) * 0.5 * (1 + math.cos(math.pi * done))

    return factor


@dataclass
class Plateau:
    """Lowers the rate when validation stalls: `scale` is what it has come down to.

    `torch.optim.lr_scheduler.ReduceLROnPlateau` writes into the optimizer, where a warm-up would
    overwrite it; this one is a factor of its own, with state that a checkpoint carries.
    """

    factor: float
    patience: int
    scale: float = 1.0
    best: float = math.inf
    stalled: int = 0

    def judge(self, loss: float) -> None:
        """Counts a validation; one more than `patience` without improvement lowers the rate."""
        if loss < self.best:
            self.best, self.stalled = loss, 0
            return
        self.stalled += 1
        if self.stalled > self.patience:
            self.scale *= self.factor
            self.stalled = 0

    def state_dict(self) -> dict[str, Any]:
        """All of it, as plain values."""
        return asdict(self)
