"""The policy's observation and action: bounds, scaling, gymnasium spaces, meaning of an action."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from gymnasium import spaces

from infinito.rl.environment.metrics import Metrics


class Action(NamedTuple):
    """Weights of the two losses of the language model."""

    text: float
    phi: float


ACTIONS = {"TEXT": Action(1.0, 0.0), "PHI": Action(0.1, 1.0), "MIXED": Action(0.5, 0.5)}
"""Actions by name; an action's number is its place here."""

OBSERVATION_BOUNDS = {
    "coherence": (0.0, 1.0),
    "phi": (0.0, 10.0),
    "loss_text": (0.0, 6.0),
    "loss_phi": (0.0, 4.0),
    "memory_use": (0.0, 1.0),
    "time_since_coherent": (0.0, 1.0),
}
"""Bounds of each observed number, which are scaled to −1 and 1; values outside are clipped."""


def build_observation_space() -> spaces.Box:
    """Return the space of observations: six numbers in [−1, 1]."""
    return spaces.Box(-1.0, 1.0, (len(OBSERVATION_BOUNDS),), np.float32)


def build_action_space() -> spaces.Discrete:
    """Return the space of actions: the numbers of `ACTIONS`."""
    return spaces.Discrete(len(ACTIONS))


def observe(metrics: Metrics, time_since_coherent: np.ndarray) -> np.ndarray:
    """Return the observations of several environments, float32 (envs, 6) in [−1, 1].

    Args:
        metrics: Metrics of each environment's model.
        time_since_coherent: Steps since C was last above `COHERENCE_THRESHOLD`, divided by the
            steps of an episode, (envs,).
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
    observations: np.ndarray = scaled.clip(-1, 1).astype(np.float32)
    return observations
