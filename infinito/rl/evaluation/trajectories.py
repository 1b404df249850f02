"""Plays episodes that can be paired: the same start states, seeds and text for every policy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from infinito.rl.environment.episodes import Episodes
from infinito.rl.environment.metrics import Metrics
from infinito.rl.evaluation.controls import Policy


@dataclass(frozen=True)
class Trajectories:
    """Episodes of one policy, in the order in which they are paired."""

    returns: np.ndarray
    """(episodes,)."""
    starts: np.ndarray
    """Number of each start state, (episodes,)."""
    actions: np.ndarray
    """(episodes, steps)."""
    phi: np.ndarray
    """After each step, (episodes, steps)."""
    perplexity: np.ndarray
    """On the probe batch, (episodes, steps)."""
    in_band: np.ndarray
    """bool (episodes, steps)."""
    terms: dict[str, np.ndarray]
    """Of the reward, each (episodes, steps)."""
    final_loss: np.ndarray
    """Nats per token of the test split at the end, (episodes,)."""


def played(
    build_environments: Callable[[int], Episodes],
    choose: Policy,
    episodes: int,
    seed: int,
    envs: int,
) -> Trajectories:
    """Plays episodes, `envs` at a time.

    Args:
        build_environments: Makes so many environments.
        choose: The policy.
        episodes: How many. Episode i has seed (seed, i) and goes through the start states in turn.
        seed: Of all of them.
        envs: How many run side by side; changes nothing but the speed, and the masks of dropout.
    """
    parts = []
    for numbers in np.array_split(np.arange(episodes), -(-episodes // envs)):
        running = build_environments(len(numbers))
        running.seeds[:] = seed * 100_003 + numbers
        running.restart(np.ones(len(numbers), dtype=bool), numbers % len(running.starts))
        parts.append(_to_the_end(running, choose))
    return _joined(parts)


def _to_the_end(running: Episodes, choose: Policy) -> Trajectories:
    actions: list[np.ndarray] = []
    metrics: list[Metrics] = []
    terms: list[dict[str, np.ndarray]] = []
    while not running.over.all():
        actions.append(choose(running))
        terms.append(running.step(actions[-1])[1])
        metrics.append(running.metrics)
    return Trajectories(
        returns=running.returns,
        starts=running.start_numbers.copy(),
        actions=np.stack(actions, axis=1),
        phi=np.stack([each.phi for each in metrics], axis=1),
        perplexity=np.stack([each.perplexity for each in metrics], axis=1),
        in_band=np.stack([each.loss_phi == 0 for each in metrics], axis=1),
        terms={name: np.stack([each[name] for each in terms], axis=1) for name in terms[0]},
        final_loss=running.models.measure(running.text.unseen).loss_text,
    )


def _joined(parts: list[Trajectories]) -> Trajectories:
    def join(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts])

    arrays = {name: join(name) for name in ARRAYS}
    terms = {name: np.concatenate([part.terms[name] for part in parts]) for name in parts[0].terms}
    return Trajectories(terms=terms, **arrays)


ARRAYS = ("returns", "starts", "actions", "phi", "perplexity", "in_band", "final_loss")
"""Fields of `Trajectories` that are one array."""
