"""Who chooses actions: the learned policy, and the controls that it has to beat."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from stable_baselines3.common.policies import ActorCriticPolicy

from infinito.rl.environment.episodes import Episodes
from infinito.rl.environment.spaces import ACTIONS

Policy = Callable[[Episodes], np.ndarray]
"""Tells the actions (envs,) of a step, a function of the episodes as they stand."""

TEXT, PHI, MIXED = range(len(ACTIONS))


def static(action: int) -> Policy:
    """Always the same action."""
    return lambda episodes: np.full(len(episodes), action)


def choose_at_random(episodes: Episodes) -> np.ndarray:
    """An action by lot, fixed by the episode's seed and step."""
    return np.array([draws.integers(len(ACTIONS)) for draws in _draws(episodes, 2)])


def alternate(episodes: Episodes) -> np.ndarray:
    """TEXT, PHI, MIXED, TEXT …"""
    return episodes.steps % len(ACTIONS)


def follow_band(episodes: Episodes) -> np.ndarray:
    """PHI outside the band, TEXT inside it."""
    return np.where(episodes.metrics.loss_phi > 0, PHI, TEXT)


def agent(policy: ActorCriticPolicy, sampled: bool) -> Policy:
    """A learned policy: its likeliest action, or one drawn by the episode's seed and step."""

    def choose(episodes: Episodes) -> np.ndarray:
        chances = compute_action_probabilities(policy, episodes.observations)
        if not sampled:
            return chances.argmax(1)
        lots = np.array([draws.random() for draws in _draws(episodes, 3)])
        return (chances.cumsum(1) < lots[:, None]).sum(1).clip(max=len(ACTIONS) - 1)

    return choose


@torch.no_grad()
def compute_action_probabilities(policy: ActorCriticPolicy, observations: np.ndarray) -> np.ndarray:
    """The policy's probabilities of the actions, (envs, actions), drawing on no generator."""
    seen = torch.as_tensor(observations)
    return policy.get_distribution(seen).distribution.probs.double().numpy()  # type: ignore[union-attr]


CONTROLS: dict[str, Policy] = {
    **{f"static {name}": static(number) for number, name in enumerate(ACTIONS)},
    "random": choose_at_random,
    "alternating": alternate,
    "band heuristic": follow_band,
}
"""By name."""


def _draws(episodes: Episodes, purpose: int) -> list[np.random.Generator]:
    return [
        np.random.default_rng([int(seed), int(number), purpose, int(step)])
        for seed, number, step in zip(episodes.seeds, episodes.numbers, episodes.steps, strict=True)
    ]
