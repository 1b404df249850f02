"""Compares policies on the same episodes, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from infinito.rl.environment.spaces import ACTIONS
from infinito.rl.evaluation.trajectories import Trajectories
from infinito.statistics import cluster_bootstrap

NO_DIFFERENCE = "no difference"


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
                "return": vars(cluster_bootstrap(each.returns, starts)),
                "spread": float(each.returns.std(ddof=1)),
                "excess": vars(cluster_bootstrap(excess, starts)),
                "final_perplexity": float(np.exp(each.final_loss.mean())),
                "excess_loss_nats": vars(
                    cluster_bootstrap(each.final_loss - control.final_loss, starts)
                ),
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
    direction = find_direction(excess)
    if direction == NO_DIFFERENCE:
        return f"no difference to {baseline} is shown"
    return f"{direction} than {baseline}"


def find_direction(excess: Mapping[str, float]) -> str:
    """Return "better", "worse", or `NO_DIFFERENCE` where the interval contains 0."""
    if excess["low"] > 0:
        return "better"
    return "worse" if excess["high"] < 0 else NO_DIFFERENCE
