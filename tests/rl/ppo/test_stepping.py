"""PPO stepped by rollouts is PPO: bit-equal to `learn`, stopped or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO

from infinito.config import RunConf
from infinito.rl.assembly import build_ppo
from infinito.rl.environment.shared_parts import SharedParts
from infinito.rl.ppo.stepping import SteppedPPO

Make = Callable[..., RunConf]


def bits(ppo: PPO) -> dict[str, torch.Tensor]:
    """Weights, moments of the optimizer, and the language models of the environments."""
    found = dict(ppo.policy.state_dict())
    for number, state in ppo.policy.optimizer.state_dict()["state"].items():
        found |= {f"{number}.{name}": value for name, value in state.items()}
    models = ppo.env.get_attr("episodes")[0].models  # type: ignore[union-attr]
    return {**found, "language models": models.weights.detach().clone()}


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def stepped(conf: RunConf, shared: SharedParts) -> SteppedPPO:
    return SteppedPPO(build_ppo(conf, shared), conf.rl.total_timesteps)


@pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")
@pytest.mark.parametrize("schedule", ["constant", "linear"])
def test_stepping_is_bit_equal_to_learn(
    rl_configured: Make, shared: SharedParts, schedule: str
) -> None:
    run = rl_configured(f"rl.lr_schedule={schedule}")
    reference = build_ppo(run, shared)
    reference.learn(run.rl.total_timesteps)
    training = stepped(run, shared)
    training.begin()
    while training.ppo.num_timesteps < run.rl.total_timesteps:
        training.run_rollout()
    assert training.ppo.num_timesteps == reference.num_timesteps == 45
    assert_same(bits(reference), bits(training.ppo))


def test_the_rate_falls_over_the_whole_training(rl_configured: Make, shared: SharedParts) -> None:
    """After 15, 30 and 45 of 45 steps: ⅔, ⅓ and 0 of the rate."""
    training = stepped(rl_configured("rl.lr_schedule=linear", "rl.learning_rate=0.003"), shared)
    training.begin()
    rates = [training.run_rollout()["rl/learning_rate"] for _ in range(3)]
    assert rates == pytest.approx([0.002, 0.001, 0.0], abs=1e-9)


def test_a_saved_state_goes_on_with_the_same_bits(rl_configured: Make, shared: SharedParts) -> None:
    run = rl_configured()
    whole = stepped(run, shared)
    whole.begin()
    whole.run_rollout()
    state = whole.state_dict()
    saved: dict[str, Any] = {
        "stepped": torch_copy(state),
        "policy": torch_copy(whole.ppo.policy.state_dict()),
        "optimizer": torch_copy(whole.ppo.policy.optimizer.state_dict()),
    }
    whole.run_rollout()
    np.random.seed(99)
    torch.manual_seed(99)
    resumed = stepped(run, shared)
    resumed.begin()
    resumed.ppo.policy.load_state_dict(saved["policy"])
    resumed.ppo.policy.optimizer.load_state_dict(saved["optimizer"])
    resumed.load_state_dict(saved["stepped"])
    resumed.run_rollout()
    assert_same(bits(whole.ppo), bits(resumed.ppo))


def test_a_rollout_reports_everything(rl_configured: Make, shared: SharedParts) -> None:
    training = stepped(rl_configured(), shared)
    training.ppo.gamma = 0.0  # else PPO adds what it expects beyond the end of an episode
    training.begin()
    report = training.run_rollout()
    shares = [report.get(f"rl/action/{name}", 0.0) for name in ("TEXT", "PHI", "MIXED")]
    assert sum(shares) == pytest.approx(1)
    terms = sum(value for name, value in report.items() if name.startswith("rl/reward/"))
    assert terms == pytest.approx(float(training.ppo.rollout_buffer.rewards.mean()), abs=1e-6)
    wanted = {"return_mean", "phi", "coherence", "perplexity", "in_band", "entropy_nats"}
    wanted |= {"kl_nats", "explained_variance"}
    assert {f"rl/{name}" for name in wanted} <= report.keys()
    assert 0 < report["rl/entropy_nats"] <= np.log(3) + 1e-6


def test_the_share_of_an_action_that_is_never_taken_is_0(
    rl_configured: Make, shared: SharedParts
) -> None:
    training = stepped(rl_configured(), shared)
    training.begin()
    actions = training.ppo.policy.action_net
    assert isinstance(actions, torch.nn.Linear)
    with torch.no_grad():
        actions.bias.copy_(torch.tensor([0.0, 100.0, 0.0]))
    report = training.run_rollout()
    shares = {name: value for name, value in report.items() if name.startswith("rl/action/")}
    assert shares == {"rl/action/TEXT": 0.0, "rl/action/PHI": 1.0, "rl/action/MIXED": 0.0}


def torch_copy(value: Any) -> Any:
    """A deep copy, so that what trains on does not change what was saved."""
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {name: torch_copy(each) for name, each in value.items()}
    if isinstance(value, list):
        return [torch_copy(each) for each in value]
    return value
