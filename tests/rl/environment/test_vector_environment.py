"""The vectorised environment does what gymnasium's does, and reports the ends of episodes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from infinito.rl.environment.environment import ScheduleEnv
from infinito.rl.environment.episodes import Episodes
from infinito.rl.environment.vector_environment import ScheduleVecEnv
from infinito.rl.evaluation.controls import MIXED, PHI, TEXT

Make = Callable[..., Episodes]


def test_its_steps_are_those_of_the_gymnasium_environment(build_environments: Make) -> None:
    single, vectorised = ScheduleEnv(build_environments(1)), ScheduleVecEnv(build_environments(1))
    first = vectorised.reset()
    assert isinstance(first, np.ndarray)
    assert np.array_equal(single.reset()[0], first[0])
    for action in (TEXT, PHI, MIXED):
        observation, reward, _, truncated, info = single.step(action)
        observations, rewards, done, infos = vectorised.step(np.array([action]))
        assert isinstance(observations, np.ndarray)
        assert np.array_equal(observation, observations[0])
        assert rewards[0] == np.float32(reward)
        assert done.tolist() == [truncated]
        assert infos == [info]


def test_the_end_of_an_episode_is_reported_and_the_next_begins(build_environments: Make) -> None:
    environment = ScheduleVecEnv(build_environments(2))
    environment.reset()
    rewards = np.zeros(2)
    for _ in range(4):
        observations, reward, done, infos = environment.step(np.array([TEXT, PHI]))
        rewards += reward
    assert done.all()
    assert isinstance(observations, np.ndarray)
    for index, info in enumerate(infos):
        assert info["TimeLimit.truncated"]
        assert info["episode"]["l"] == 4
        assert info["episode"]["r"] == pytest.approx(rewards[index], abs=1e-5)
        assert not np.array_equal(info["terminal_observation"], observations[index])
    assert environment.episodes.steps.tolist() == [0, 0]
    assert environment.episodes.numbers.tolist() == [1, 1]


def test_environments_have_nothing_of_their_own(build_environments: Make) -> None:
    environment = ScheduleVecEnv(build_environments(3))
    assert environment.get_attr("episodes", [0, 2]) == [environment.episodes] * 2
    assert environment.env_is_wrapped(object) == [False] * 3
    with pytest.raises(NotImplementedError, match="no attributes of their own"):
        environment.set_attr("episodes", None)
    with pytest.raises(NotImplementedError, match="no methods of their own"):
        environment.env_method("reset")
