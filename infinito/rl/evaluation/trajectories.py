"""Plays episodes that pair across policies: same start states, seeds and text for every policy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from infinito.rl.environment.episodes import Episodes
from infinito.rl.environment.metrics import Metrics
from infinito.rl.evaluation.controls import Policy


@dataclass(frozen=True)
class Trajectories:
    """Finished episodes of one policy; episode i pairs with episode i of any other policy."""

    returns: np.ndarray
    """(episodes,)."""
    starts: np.ndarray
    """Number of each episode's start state, (episodes,)."""
    actions: np.ndarray
    """(episodes, steps)."""
    phi: np.ndarray
    """Φ after each step, (episodes, steps)."""
    perplexity: np.ndarray
    """Perplexity on the probe batch after each step, (episodes, steps)."""
    in_band: np.ndarray
    """Whether Φ is inside its band after each step, bool (episodes, steps)."""
    terms: dict[str, np.ndarray]
    """Reward terms by name, each (episodes, steps)."""
    final_loss: np.ndarray
    """Loss of the final model on the test split, nats per token, (episodes,)."""


def play_episodes(
    build_environments: Callable[[int], Episodes],
    policy: Policy,
    episodes: int,
    seed: int,
    envs: int,
    on_step: Callable[[int], None] | None = None,
) -> Trajectories:
    """Play episodes of a policy, `envs` at a time.

    Args:
        build_environments: Returns the given number of environments.
        policy: Chooses the actions.
        episodes: Number of episodes. Episode i has a seed made of (seed, i) and takes the start
            states in turn.
        seed: Seed of all episodes.
        envs: Episodes that run side by side; affects speed and dropout masks only.
        on_step: Called with the number of environment steps just made.
    """
    parts = []
    for numbers in np.array_split(np.arange(episodes), -(-episodes // envs)):
        running = build_environments(len(numbers))
        running.seeds[:] = seed * 100_003 + numbers
        running.restart(np.ones(len(numbers), dtype=bool), numbers % len(running.starts))
        parts.append(_play_to_the_end(running, policy, on_step))
    return _concatenate(parts)


def _play_to_the_end(
    running: Episodes, policy: Policy, on_step: Callable[[int], None] | None
) -> Trajectories:
    actions: list[np.ndarray] = []
    metrics: list[Metrics] = []
    terms: list[dict[str, np.ndarray]] = []
    while not running.done.all():
        actions.append(policy(running))
        terms.append(running.step(actions[-1])[1])
        metrics.append(running.metrics)
        if on_step is not None:
            on_step(len(running))
    return Trajectories(
        returns=running.returns,
        starts=running.start_numbers.copy(),
        actions=np.stack(actions, axis=1),
        phi=np.stack([each.phi for each in metrics], axis=1),
        perplexity=np.stack([each.perplexity for each in metrics], axis=1),
        in_band=np.stack([each.loss_phi == 0 for each in metrics], axis=1),
        terms={name: np.stack([each[name] for each in terms], axis=1) for name in terms[0]},
        final_loss=running.models.measure(running.windows.test).loss_text,
    )


def _concatenate(parts: list[Trajectories]) -> Trajectories:
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in ARRAYS}
    terms = {name: np.concatenate([part.terms[name] for part in parts]) for name in parts[0].terms}
    return Trajectories(terms=terms, **arrays)


ARRAYS = ("returns", "starts", "actions", "phi", "perplexity", "in_band", "final_loss")
"""Fields of `Trajectories` that hold one array."""
