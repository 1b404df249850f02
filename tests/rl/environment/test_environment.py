"""The environment keeps gymnasium's contract, and its steps really train a language model."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_of_sb3

from infinito.config import RunConf
from infinito.errors import NonFiniteError
from infinito.rl.assembly import build_episodes
from infinito.rl.environment.environment import ScheduleEnv
from infinito.rl.environment.episodes import Episodes
from infinito.rl.environment.metrics import Metrics
from infinito.rl.environment.shared_parts import SharedParts
from infinito.rl.environment.spaces import OBSERVATION_BOUNDS, observe
from infinito.rl.evaluation.controls import MIXED, PHI, TEXT

Make = Callable[..., Episodes]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_both_checkers_accept_it(build_environments: Make) -> None:
    check_env(ScheduleEnv(build_environments(1)), skip_render_check=True)
    check_env_of_sb3(ScheduleEnv(build_environments(1)))


def test_parameters_change_in_every_step_and_by_the_action(build_environments: Make) -> None:
    finals = []
    for action in (TEXT, PHI, MIXED):
        environment = ScheduleEnv(build_environments(1))
        environment.reset(seed=3, options={"start": 1})
        weights = environment.episodes.models.weights
        for _ in range(3):
            before = weights.detach().clone()
            environment.step(action)
            assert not torch.equal(weights, before)
        finals.append(weights.detach().clone())
    assert not torch.equal(finals[0], finals[1])
    assert not torch.equal(finals[0], finals[2])
    assert not torch.equal(finals[1], finals[2])


def test_same_seed_same_bits_other_seed_others(build_environments: Make) -> None:
    def played(seed: int) -> list[np.ndarray]:
        environment = ScheduleEnv(build_environments(1))
        first, _ = environment.reset(seed=seed)
        return [first, *(environment.step(TEXT)[0] for _ in range(4))]

    assert all(map(np.array_equal, played(1), played(1)))
    assert not all(map(np.array_equal, played(1), played(2)))


def test_reset_restores_the_start_state_and_draws_others(build_environments: Make) -> None:
    environment = ScheduleEnv(build_environments(1))
    starts = set()
    for _ in range(12):
        seen, info = environment.reset()
        starts.add(info["start"])
        expected = environment.episodes.starts.phi[info["start"]]
        assert info["phi"] == pytest.approx(expected, abs=1e-3)
        assert environment.observation_space.contains(seen)
        environment.step(PHI)
    assert len(starts) > 1


def test_an_episode_is_cut_off_not_ended(build_environments: Make) -> None:
    environment = ScheduleEnv(build_environments(1))
    environment.reset(seed=0)
    ends = [environment.step(TEXT)[2:4] for _ in range(4)]
    assert ends == [(False, False)] * 3 + [(False, True)]


def test_the_reward_is_the_sum_of_the_terms_in_info(build_environments: Make) -> None:
    environment = ScheduleEnv(build_environments(1))
    environment.reset(seed=0)
    _, reward, _, _, info = environment.step(MIXED)
    terms = [value for name, value in info.items() if name.startswith("reward/")]
    assert len(terms) == 9
    assert reward == pytest.approx(sum(terms))


def test_published_formulas_pay_nothing_for_the_first_step(build_environments: Make) -> None:
    environment = ScheduleEnv(build_environments(1, "rl/reward=v2"))
    environment.reset(seed=0)
    assert environment.step(TEXT)[1] == 0
    assert environment.step(TEXT)[1] != 0


def test_nothing_changes_in_the_null_environment(build_environments: Make) -> None:
    returns = []
    for action in (TEXT, PHI):
        episodes = build_environments(2, null=True)
        episodes.restart(np.array([True, True]))
        first = episodes.models.weights.detach().clone()
        for _ in range(4):
            episodes.step(np.array([action, action]))
        assert torch.equal(episodes.models.weights, first)
        returns.append(episodes.returns)
    first_returns, second_returns = returns
    assert np.array_equal(first_returns, second_returns)


def test_observations_by_hand() -> None:
    """C .5 is the middle, Φ 5 too; 3 nats of 6; 1 of 4; memory ¼; the clock at its end."""
    metrics = Metrics(*(np.array([each]) for each in (3.0, 5.0, 1.0, 0.25)))
    seen = observe(metrics, np.array([1.0]))
    np.testing.assert_allclose(seen, [[0.0, 0.0, 0.0, -0.5, -0.5, 1.0]])
    assert next(iter(OBSERVATION_BOUNDS)) == "coherence"


def test_time_since_coherent_counts_and_starts_anew(build_environments: Make) -> None:
    episodes = build_environments(1)
    episodes.restart(np.array([True]))
    episodes.models.calibration = type(episodes.models.calibration)(0.0, 5.0)  # C = 0.5
    episodes.step(np.array([TEXT]))
    episodes.step(np.array([TEXT]))
    assert episodes.since_coherent.tolist() == [2]
    assert episodes.observations[0, 5] == pytest.approx(2 * 2 / 4 - 1)
    episodes.models.calibration = type(episodes.models.calibration)(0.0, 7.0)  # C = 0.7
    episodes.step(np.array([TEXT]))
    assert episodes.since_coherent.tolist() == [0]


def test_a_reward_that_is_not_a_number_stops_with_the_term(build_environments: Make) -> None:
    episodes = build_environments(1)
    episodes.restart(np.array([True]))
    episodes.metrics = episodes.metrics._replace(phi=np.array([float("nan")]))
    with pytest.raises(NonFiniteError, match="term `coherence`"):
        episodes.step(np.array([TEXT]))


def test_a_saved_state_goes_on_with_the_same_bits(build_environments: Make) -> None:
    actions = [np.array([step % 3, (step + 1) % 3]) for step in range(7)]
    whole, stopped, resumed = (build_environments(2) for _ in range(3))
    seen = []
    for episodes in (whole, stopped):
        episodes.restart(np.array([True, True]))
    for action in actions:
        whole.step(action)
        if whole.done.any():
            whole.restart(whole.done)
        seen.append(whole.observations)
    for action in actions[:3]:
        stopped.step(action)
    resumed.load_state_dict(stopped.state_dict())
    for step, action in enumerate(actions[3:], start=3):
        resumed.step(action)
        if resumed.done.any():
            resumed.restart(resumed.done)
        assert np.array_equal(resumed.observations, seen[step])
    assert torch.equal(whole.models.weights, resumed.models.weights)


def test_dropout_is_the_same_for_paired_episodes(
    rl_configured: Callable[..., RunConf], shared: SharedParts
) -> None:
    """Whatever a policy has drawn before, the same actions give the same weights."""
    model = copy.deepcopy(shared.model)
    modules: list[Any] = list(model.modules())
    for module in modules:
        if hasattr(module, "dropout"):
            module.dropout = 0.3
    dropping = dataclasses.replace(shared, model=model)
    weights = []
    for seed in (0, 1):
        episodes = build_episodes(rl_configured(), dropping, "train", 2, 5)
        episodes.restart(np.ones(2, dtype=bool))
        torch.manual_seed(seed)
        drawn = torch.get_rng_state()
        episodes.step(np.array([0, 2]))
        assert torch.equal(torch.get_rng_state(), drawn)
        weights.append(episodes.models.weights.detach().clone())
    assert torch.equal(*weights)
    plain = build_episodes(rl_configured(), shared, "train", 2, 5)
    plain.restart(np.ones(2, dtype=bool))
    plain.step(np.array([0, 2]))
    assert not torch.equal(plain.models.weights, weights[0])
