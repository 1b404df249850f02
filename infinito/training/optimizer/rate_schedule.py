"""Learning-rate schedules as functions of the optimizer step.

`transformers.get_scheduler` has the same shapes, but its warm-ups begin with a step at rate 0,
which spends a batch on nothing, and its plateau knows no warm-up.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any


def rate_factor(
    schedule: str,
    warmup_steps: int,
    total_steps: int,
    min_ratio: float,
    decay_share: float = 1.0,
) -> Callable[[int], float]:
    """Return a function from the step (from 0) to the learning rate over its peak.

    Args:
        schedule: "cosine" and "linear" fall from 1 to `min_ratio` at `total_steps`; "wsd" stays at
            1, then falls linearly; "constant" and "plateau" stay at 1 (the plateau's reductions
            come on top).
        warmup_steps: steps of linear rise before that.
        total_steps: steps of the whole training.
        min_ratio: where the rate ends.
        decay_share: share of `total_steps` in which "wsd" falls, at the end.

    Source: cosine as in Loshchilov & Hutter, arXiv:1608.03983, eq. 5, without restarts; wsd (warm
    up, stay, decay) as in Hu et al. 2024, MiniCPM, arXiv:2404.06395, section 4.2, with the linear
    decay of Hägele et al. 2024, arXiv:2405.18392.
    """
    falls_from = stable_steps(warmup_steps, total_steps, decay_share)
    if schedule != "wsd":
        falls_from = warmup_steps

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / (warmup_steps + 1)
        if schedule in ("constant", "plateau"):
            return 1.0
        done = min(1.0, max(0.0, (step - falls_from) / max(1, total_steps - falls_from)))
        if schedule == "cosine":
            return min_ratio + (1 - min_ratio) * 0.5 * (1 + math.cos(math.pi * done))
        return 1 - (1 - min_ratio) * done

    return factor


def stable_steps(warmup_steps: int, total_steps: int, decay_share: float) -> int:
    """Return the steps before "wsd" falls: longer trainings share them, so they can go on there."""
    return max(warmup_steps, round(total_steps * (1 - decay_share)))


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
        """Return all of it as plain values."""
        return asdict(self)
