"""Compares policies on the same episodes, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from infinito.rl.environment.spaces import ACTIONS
from infinito.rl.evaluation.trajectories import Trajectories

RESAMPLES = 10_000


@dataclass(frozen=True)
class Interval:
    """A mean with its bootstrap interval of 95 %."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


def bootstrap(values: np.ndarray, starts: np.ndarray | None = None, seed: int = 0) -> Interval:
    """The mean of values with a percentile interval of 95 %.

    Args:
        values: (episodes,), or (policies, episodes), of which policies are drawn too. The episodes
            are the same for all policies, so they are drawn once for all of them.
        starts: (episodes,): the start state of each. Those of one state have much in common and
            are drawn together. None: each is drawn alone.
        seed: Of the draws.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, section 13.3; drawn by
    clusters as in Cameron, Gelbach and Miller 2008.
    """
    values = np.atleast_2d(values)
    policies, episodes = values.shape
    of, counts = np.unique(
        np.arange(episodes) if starts is None else starts, return_inverse=True, return_counts=True
    )[1:]
    sums = np.stack([np.bincount(of, row) for row in values])
    draws = np.random.default_rng(seed)
    rows = draws.multinomial(policies, np.full(policies, 1 / policies), RESAMPLES)
    columns = draws.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), RESAMPLES)
    totals = np.einsum("rp,ps,rs->r", rows, sums, columns, optimize=True)
    low, high = np.quantile(totals / (policies * columns @ counts), [0.025, 0.975])
    return Interval(float(values.mean()), float(low), float(high))


def find_best_static(validation: Mapping[str, Trajectories]) -> str:
    """Return the static action with the largest mean return.

    Args:
        validation: Episodes from validation start states, which serve this choice alone.
    """
    names = [name for name in validation if name.startswith("static ")]
    return max(names, key=lambda name: validation[name].returns.mean())


def compare_policies(
    trajectories: Mapping[str, Trajectories], baseline: str
) -> list[dict[str, Any]]:
    """Return a row for each policy: return, paired difference to the baseline, final model."""
    control = trajectories[baseline]
    rows = []
    for name, each in trajectories.items():
        starts, excess = each.starts, each.returns - control.returns
        rows.append(
            {
                "policy": name,
                "return": vars(bootstrap(each.returns, starts)),
                "spread": float(each.returns.std(ddof=1)),
                "excess": vars(bootstrap(excess, starts)),
                "final_perplexity": float(np.exp(each.final_loss.mean())),
                "excess_loss_nats": vars(bootstrap(each.final_loss - control.final_loss, starts)),
                "in_band": float(each.in_band.mean()),
                "final_phi": float(each.phi[:, -1].mean()),
                "actions": {
                    action: float((each.actions == number).mean())
                    for number, action in enumerate(ACTIONS)
                },
            }
        )
    return rows


def describe_difference(excess: Mapping[str, float], baseline: str) -> str:
    """Return in words whether an interval of differences in return lies above or below 0."""
    if excess["low"] > 0:
        return f"better than {baseline}"
    if excess["high"] < 0:
        return f"worse than {baseline}"
    return f"no difference to {baseline} is shown"
