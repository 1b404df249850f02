"""Policies that choose the actions of episodes: the trained agent and the controls it must beat."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from torch.distributions import Categorical

from infinito.rl.environment.episodes import Episodes
from infinito.rl.environment.spaces import ACTIONS

Policy = Callable[[Episodes], np.ndarray]
"""Returns the actions (envs,) of a step, a function of the running episodes."""

TEXT, PHI, MIXED = range(len(ACTIONS))


def build_static(action: int) -> Policy:
    """Return the policy that always takes the same action."""
    return lambda episodes: np.full(len(episodes), action)


def choose_at_random(episodes: Episodes) -> np.ndarray:
    """Return random actions, each a function of the episode's seed and step."""
    generators = _build_generators(episodes, 2)
    return np.array([generator.integers(len(ACTIONS)) for generator in generators])


def alternate(episodes: Episodes) -> np.ndarray:
    """Return TEXT, PHI and MIXED in turn."""
    return episodes.steps % len(ACTIONS)


def follow_band(episodes: Episodes) -> np.ndarray:
    """Return PHI where Φ is outside its band, TEXT where it is inside."""
    return np.where(episodes.metrics.loss_phi > 0, PHI, TEXT)


def build_agent(network: ActorCriticPolicy, sampled: bool) -> Policy:
    """Return the policy that a trained network defines.

    Args:
        sampled: Draw actions from the network's distribution, each a function of the episode's
            seed and step; otherwise take the likeliest.
    """

    def choose(episodes: Episodes) -> np.ndarray:
        probabilities = compute_action_probabilities(network, episodes.observations)
        if not sampled:
            likeliest: np.ndarray = probabilities.argmax(1)
            return likeliest
        uniform = np.array([each.random() for each in _build_generators(episodes, 3)])
        numbers: np.ndarray = (probabilities.cumsum(1) < uniform[:, None]).sum(1)
        return numbers.clip(max=len(ACTIONS) - 1)  # where rounding leaves the sum below 1

    return choose


@torch.no_grad()
def compute_action_probabilities(
    network: ActorCriticPolicy, observations: np.ndarray
) -> np.ndarray:
    """Return the network's action probabilities, (envs, actions); no generator is used."""
    distribution = network.get_distribution(torch.as_tensor(observations)).distribution
    assert isinstance(distribution, Categorical), "actions are discrete"
    probabilities: np.ndarray = distribution.probs.double().numpy()
    return probabilities


CONTROLS: dict[str, Policy] = {
    **{f"static {name}": build_static(number) for number, name in enumerate(ACTIONS)},
    "random": choose_at_random,
    "alternating": alternate,
    "band heuristic": follow_band,
}
"""Control policies by name."""


def _build_generators(episodes: Episodes, purpose: int) -> list[np.random.Generator]:
    return [
        np.random.default_rng([int(seed), int(number), purpose, int(step)])
        for seed, number, step in zip(episodes.seeds, episodes.numbers, episodes.steps, strict=True)
    ]
