"""The vectorised environment that stable-baselines3 steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from infinito.rl.environment.episodes import Episodes, build_info
from infinito.rl.environment.spaces import build_action_space, build_observation_space


class ScheduleVecEnv(VecEnv):
    """One environment for each running episode, all in this process.

    Args:
        episodes: The running episodes.
    """

    def __init__(self, episodes: Episodes) -> None:
        self.episodes = episodes
        self.render_mode = None
        self.actions = np.zeros(len(episodes), dtype=np.int64)
        super().__init__(len(episodes), build_observation_space(), build_action_space())

    def reset(self) -> VecEnvObs:
        """Begin an episode in every environment."""
        self.episodes.restart(np.ones(self.num_envs, dtype=bool))
        return self.episodes.observations

    def step_async(self, actions: np.ndarray) -> None:
        """Keep the actions of the next step."""
        self.actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Train all models, and begin a new episode wherever one was truncated."""
        episodes = self.episodes
        rewards, terms = episodes.step(self.actions)
        infos = [build_info(episodes, terms, index) for index in range(self.num_envs)]
        done, last = episodes.done, episodes.observations
        for index in np.flatnonzero(done):
            infos[index] |= {
                "TimeLimit.truncated": True,
                "terminal_observation": last[index],
                "episode": {"r": float(episodes.returns[index]), "l": int(episodes.steps[index])},
            }
        if done.any():
            episodes.restart(done)
        return episodes.observations, rewards.astype(np.float32), done, infos

    def close(self) -> None:
        """Do nothing: the environments hold no resources."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return this object's attribute once for each of the environments in `indices`."""
        return [getattr(self, attr_name)] * len(self._list_indices(indices))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Raise NotImplementedError: the environments have no attributes of their own."""
        raise NotImplementedError(
            "environments that share a process have no attributes of their own"
        )

    def env_method(
        self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any
    ) -> list[Any]:
        """Raise NotImplementedError: the environments have no methods of their own."""
        raise NotImplementedError("environments that share a process have no methods of their own")

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        """Return False for each environment: none is wrapped."""
        return [False] * len(self._list_indices(indices))

    def _list_indices(self, indices: Any) -> Sequence[int]:
        return self._get_indices(indices)  # type: ignore[return-value]
