"""What the policy sees and may do: bounds, normalisation, spaces, actions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from gymnasium import spaces

from infinito.rl.environment.metrics import Metrics


class Action(NamedTuple):
    """Weights of the two losses."""

    text: float
    phi: float


ACTIONS = {"TEXT": Action(1.0, 0.0), "PHI": Action(0.1, 1.0), "MIXED": Action(0.5, 0.5)}
"""By name, in the order of their numbers."""

OBSERVATION_BOUNDS = {
    "coherence": (0.0, 1.0),
    "phi": (0.0, 10.0),
    "loss_text": (0.0, 6.0),
    "loss_phi": (0.0, 4.0),
    "memory_use": (0.0, 1.0),
    "time_since_coherent": (0.0, 1.0),
}
"""Least and greatest value of each number observed; values outside are cut off."""


def build_observation_space() -> spaces.Box:
    """Six numbers in [−1, 1]."""
    return spaces.Box(-1.0, 1.0, (len(OBSERVATION_BOUNDS),), np.float32)


def build_action_space() -> spaces.Discrete:
    """The number of an action."""
    return spaces.Discrete(len(ACTIONS))


def observed(metrics: Metrics, time_since_coherent: np.ndarray) -> np.ndarray:
    """The observations of several environments, float32 (envs, 6) in [−1, 1].

    Args:
        metrics: Of each environment's model.
        time_since_coherent: Steps since C was last above the threshold, over the steps of an
            episode, (envs,).
    """
    columns = (
        metrics.coherence,
        metrics.phi,
        metrics.loss_text,
        metrics.loss_phi,
        metrics.memory_use,
        time_since_coherent,
    )
    low, high = np.array(list(OBSERVATION_BOUNDS.values())).T
    scaled = 2 * (np.stack(columns, axis=1) - low) / (high - low) - 1
    return scaled.clip(-1, 1).astype(np.float32)
