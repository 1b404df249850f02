"""The gymnasium environment of one language model; each step trains the model."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from infinito.rl.environment.episodes import Episodes, build_info
from infinito.rl.environment.spaces import build_action_space, build_observation_space


class ScheduleEnv(gymnasium.Env[np.ndarray, np.integer[Any]]):
    """An agent decides what a language model trains on next: TEXT, PHI or MIXED.

    `infinito.rl.environment.spaces` defines observations and actions.
    Episodes are truncated, never terminated.
    `reset(options={"start": 3})` starts from the start state of that number.

    Args:
        episodes: The episodes of one model.
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
        """Restore a start state; a seed fixes this episode and those that follow."""
        super().reset(seed=seed)
        if seed is not None:
            self.episodes.seeds[0], self.episodes.numbers[0] = seed, -1
        start = (options or {}).get("start")
        self.episodes.restart(np.array([True]), None if start is None else [start])
        return self.episodes.observations[0], build_info(self.episodes, {}, 0)

    def step(
        self, action: np.integer[Any] | int
    ) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Train the model for `inner_steps` optimizer steps and measure it."""
        rewards, terms = self.episodes.step(np.array([action]))
        info = build_info(self.episodes, terms, 0)
        truncated = bool(self.episodes.done[0])
        return self.episodes.observations[0], float(rewards[0]), False, truncated, info
