"""The gymnasium environment of one language model; its step trains the model."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from infinito.rl.environment.episodes import Episodes, information
from infinito.rl.environment.spaces import build_action_space, build_observation_space


class ScheduleEnv(gymnasium.Env[np.ndarray, np.integer[Any]]):
    """An agent decides what a language model trains on next: TEXT, PHI or MIXED.

    Observations, actions and their meaning are those of `infinito.rl.environment.spaces`.
    Episodes are cut off, never terminated.
    `reset(options={"start": 3})` starts from that state of the bank.

    Args:
        episodes: Of one model.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012

    def __init__(self, episodes: Episodes) -> None:
        assert len(episodes) == 1
        self.episodes = episodes
        self.observation_space = build_observation_space()
        self.action_space = build_action_space()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Restores a start state; with a seed, the episodes that follow are those of the seed."""
        super().reset(seed=seed)
        if seed is not None:
            self.episodes.seeds[0], self.episodes.numbers[0] = seed, -1
        start = (options or {}).get("start")
        self.episodes.restart(np.array([True]), None if start is None else [start])
        return self.episodes.observations[0], information(self.episodes, {}, 0)

    def step(
        self, action: np.integer[Any] | int
    ) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Trains the model for `inner_steps` optimizer steps and measures it."""
        rewards, terms = self.episodes.step(np.array([action]))
        told = information(self.episodes, terms, 0)
        over = bool(self.episodes.over[0])
        return self.episodes.observations[0], float(rewards[0]), False, over, told
