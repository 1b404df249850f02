"""Runs PPO of stable-baselines3 one rollout at a time, bit-equal to its `learn`.

Calling `learn(chunk)` in a loop would differ: each call restarts learning rate schedules over that
chunk. Here learning is set up once, and progress counts over the whole training.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from torch import nn

from infinito.config import RlConf
from infinito.rl.environment.spaces import ACTIONS
from infinito.rl.environment.vector_environment import ScheduleVecEnv

AVERAGED = ("phi", "coherence", "perplexity", "in_band", "memory_use")
"""Entries of a step's `info` that are averaged over a rollout."""


def create_ppo(environment: ScheduleVecEnv, settings: RlConf, seed: int) -> PPO:
    """Return PPO with the configured arguments; this seeds the global generators, which it uses."""
    ppo = PPO(
        "MlpPolicy",
        environment,
        learning_rate=build_learning_rate(settings),
        n_steps=settings.n_steps,
        batch_size=settings.batch_size,
        n_epochs=settings.n_epochs,
        gamma=settings.gamma,
        gae_lambda=settings.gae_lambda,
        clip_range=settings.clip_range,
        ent_coef=settings.ent_coef,
        vf_coef=settings.vf_coef,
        max_grad_norm=settings.max_grad_norm,
        policy_kwargs={"net_arch": list(settings.net_arch), "activation_fn": nn.Tanh},
        seed=seed % 2**32,
        device="cpu",
    )
    ppo.set_logger(Logger(folder=None, output_formats=[]))
    return ppo


def build_learning_rate(settings: RlConf) -> float | Callable[[float], float]:
    """Return the learning rate, constant or a function of the remaining progress, from 1 to 0."""
    if settings.lr_schedule == "linear":
        return lambda remaining: remaining * settings.learning_rate
    return settings.learning_rate


class SteppedPPO:
    """A training by PPO that can stop and continue after each rollout.

    Args:
        ppo: PPO with a new policy.
        total_timesteps: Environment steps of the whole training.
        on_step: Called during a rollout with the number of environment steps just made.
    """

    def __init__(
        self, ppo: PPO, total_timesteps: int, on_step: Callable[[int], None] | None = None
    ) -> None:
        self.ppo, self.total_timesteps = ppo, total_timesteps
        self.callback: BaseCallback | None = None
        self.means = RolloutMeans(on_step)

    def begin(self) -> None:
        """Reset the environments and the counters, as `learn` does at its start."""
        _, self.callback = self.ppo._setup_learn(self.total_timesteps, self.means)

    def run_rollout(self) -> dict[str, float]:
        """Collect a rollout, train on it, and return its metrics."""
        ppo = self.ppo
        assert ppo.env is not None
        assert self.callback is not None
        ppo.collect_rollouts(ppo.env, self.callback, ppo.rollout_buffer, ppo.n_steps)
        ppo._update_current_progress_remaining(ppo.num_timesteps, self.total_timesteps)
        ppo.train()
        return {**self.means.report(), **_training_report(ppo)}

    def state_dict(self) -> dict[str, Any]:
        """Return what changes besides policy and optimizer, in a form fit for a checkpoint."""
        ppo = self.ppo
        kind, keys, place, has_gauss, gauss = np.random.get_state(legacy=True)
        return {
            "num_timesteps": ppo.num_timesteps,
            "updates": ppo._n_updates,
            "last_observations": torch.from_numpy(np.array(ppo._last_obs)),
            "last_episode_starts": torch.from_numpy(np.array(ppo._last_episode_starts)),
            "episodes": [dict(each) for each in ppo.ep_info_buffer or ()],
            "environment": ppo.env.get_attr("episodes")[0].state_dict(),  # type: ignore[union-attr]
            "torch_generator": torch.get_rng_state(),
            "numpy_generator": [kind, torch.tensor(keys), place, has_gauss, gauss],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a saved state; call after `begin`."""
        ppo = self.ppo
        ppo.num_timesteps, ppo._n_updates = state["num_timesteps"], state["updates"]
        ppo._last_obs = state["last_observations"].numpy().copy()
        ppo._last_episode_starts = state["last_episode_starts"].numpy().copy()
        ppo.ep_info_buffer = deque(state["episodes"], maxlen=ppo._stats_window_size)
        ppo.env.get_attr("episodes")[0].load_state_dict(state["environment"])  # type: ignore[union-attr]
        ppo._update_current_progress_remaining(ppo.num_timesteps, self.total_timesteps)
        kind, keys, place, has_gauss, gauss = state["numpy_generator"]
        np.random.set_state((kind, keys.numpy(), place, has_gauss, gauss))
        torch.set_rng_state(state["torch_generator"])


class RolloutMeans(BaseCallback):
    """Averages the `info` of the environments over a rollout.

    Args:
        on_step: Called with the number of environment steps just made.
    """

    def __init__(self, on_step: Callable[[int], None] | None = None) -> None:
        super().__init__()
        self.on_step_done = on_step
        self.sums: defaultdict[str, float] = defaultdict(float)
        self.returns: list[float] = []
        self.steps = 0

    def _on_rollout_start(self) -> None:
        self.sums.clear()
        self.sums |= {f"rl/action/{name}": 0.0 for name in ACTIONS}  # 0 for an action never taken
        self.returns, self.steps = [], 0

    def _on_step(self) -> bool:
        for info, action in zip(self.locals["infos"], self.locals["actions"], strict=True):
            for name, value in info.items():
                if name in AVERAGED or name.startswith("reward/"):
                    self.sums[f"rl/{name}"] += value
            self.sums[f"rl/action/{list(ACTIONS)[int(action)]}"] += 1
            if "episode" in info:
                self.returns.append(info["episode"]["r"])
            self.steps += 1
        if self.on_step_done is not None:
            self.on_step_done(len(self.locals["infos"]))
        return True

    def report(self) -> dict[str, float]:
        """Return means over the steps of the rollout, and mean and spread of finished returns."""
        means = {name: float(value / self.steps) for name, value in self.sums.items()}
        if self.returns:
            means["rl/return_mean"] = float(np.mean(self.returns))
            means["rl/return_spread"] = float(np.std(self.returns))
        return means


def _training_report(ppo: PPO) -> dict[str, float]:
    recorded = ppo.logger.name_to_value
    names = {
        "rl/kl_nats": "train/approx_kl",
        "rl/explained_variance": "train/explained_variance",
        "rl/policy_loss": "train/policy_gradient_loss",
        "rl/value_loss": "train/value_loss",
        "rl/clip_fraction": "train/clip_fraction",
        "rl/learning_rate": "train/learning_rate",
    }
    report = {ours: float(recorded[theirs]) for ours, theirs in names.items()}
    report["rl/entropy_nats"] = -float(recorded["train/entropy_loss"])
    recorded.clear()
    return report
