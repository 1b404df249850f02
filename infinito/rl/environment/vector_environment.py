"""The environment of several language models in the form that stable-baselines3 steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from infinito.rl.environment.episodes import Episodes, information
from infinito.rl.environment.spaces import build_action_space, build_observation_space


class ScheduleVecEnv(VecEnv):
    """As many environments as there are episodes, all in this process.

    Args:
        episodes: Running side by side.
    """

    def __init__(self, episodes: Episodes) -> None:
        self.episodes = episodes
        self.render_mode = None
        self.actions = np.zeros(len(episodes), dtype=np.int64)
        super().__init__(len(episodes), build_observation_space(), build_action_space())

    def reset(self) -> VecEnvObs:
        """Begins an episode everywhere."""
        self.episodes.restart(np.ones(self.num_envs, dtype=bool))
        return self.episodes.observations

    def step_async(self, actions: np.ndarray) -> None:
        """Takes the actions of the step to come."""
        self.actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Trains all models, and begins a new episode where one was cut off."""
        episodes = self.episodes
        rewards, terms = episodes.step(self.actions)
        infos = [information(episodes, terms, index) for index in range(self.num_envs)]
        over, last = episodes.over, episodes.observations
        for index in np.flatnonzero(over):
            infos[index] |= {
                "TimeLimit.truncated": True,
                "terminal_observation": last[index],
                "episode": {"r": float(episodes.returns[index]), "l": int(episodes.steps[index])},
            }
        if over.any():
            episodes.restart(over)
        return episodes.observations, rewards.astype(np.float32), over, infos

    def close(self) -> None:
        """Does nothing: there is nothing to let go of."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """The attribute of this object, once for each environment asked for."""
        return [getattr(self, attr_name)] * len(self._indices(indices))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refuses: the environments share everything that is not in `episodes`."""
        raise NotImplementedError(
            "environments that share a process have no attributes of their own"
        )

    def env_method(
        self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any
    ) -> list[Any]:
        """Refuses; see `set_attr`."""
        raise NotImplementedError("environments that share a process have no methods of their own")

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        """Never."""
        return [False] * len(self._indices(indices))

    def _indices(self, indices: Any) -> Sequence[int]:
        return self._get_indices(indices)  # type: ignore[return-value]
