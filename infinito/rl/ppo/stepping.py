"""PPO of stable-baselines3 one rollout at a time, bit-equal to its `learn`.

`learn(chunk)` in a loop would not do: each call sets the progress of schedules back to that chunk.
Here learning is set up once for the whole training, and progress is counted over all of it.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping
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
"""Of the information of each step, means over a rollout are reported."""


def create_ppo(environment: ScheduleVecEnv, settings: RlConf, seed: int) -> PPO:
    """PPO with the configured numbers; seeds the global generators, which it draws from."""
    ppo = PPO(
        "MlpPolicy",
        environment,
        learning_rate=rate(settings),
        n_steps=settings.n_steps,
        batch_size=settings.batch_size,
        n_epochs=settings.n_epochs,
        gamma=settings.gamma,
        gae_lambda=settings.gae_lambda,
        clip_range=settings.clip_range,
        ent_coef=settings.entropy,
        vf_coef=settings.value,
        max_grad_norm=settings.max_grad_norm,
        policy_kwargs={"net_arch": list(settings.hidden), "activation_fn": nn.Tanh},
        seed=seed % 2**32,
        device="cpu",
    )
    ppo.set_logger(Logger(folder=None, output_formats=[]))
    return ppo


def rate(settings: RlConf) -> Any:
    """The learning rate, or its function of the progress that remains, from 1 to 0."""
    if settings.schedule == "linear":
        return lambda remaining: remaining * settings.learning_rate
    return settings.learning_rate


class SteppedPPO:
    """A training by PPO that can stop and go on after each rollout.

    Args:
        ppo: Not yet trained.
        total_timesteps: Environment steps of the whole training.
    """

    def __init__(self, ppo: PPO, total_timesteps: int) -> None:
        self.ppo, self.total_timesteps = ppo, total_timesteps
        self.callback: BaseCallback | None = None
        self.seen = RolloutMeans()

    def begin(self) -> None:
        """Resets the environments and the counters, as `learn` does when it begins."""
        _, self.callback = self.ppo._setup_learn(self.total_timesteps, self.seen)

    def rollout(self) -> dict[str, float]:
        """Plays a rollout, trains on it, and returns what there is to report."""
        ppo = self.ppo
        assert ppo.env is not None
        assert self.callback is not None
        ppo.collect_rollouts(ppo.env, self.callback, ppo.rollout_buffer, ppo.n_steps)
        ppo._update_current_progress_remaining(ppo.num_timesteps, self.total_timesteps)
        ppo.train()
        return {**self.seen.report(), **_training_report(ppo)}

    def state_dict(self) -> dict[str, Any]:
        """Everything beyond policy and optimizer that changes, as a checkpoint takes it."""
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
        """Goes on from a saved state; call after `begin`."""
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
    """Adds up what the environments tell during a rollout."""

    def __init__(self) -> None:
        super().__init__()
        self.sums: defaultdict[str, float] = defaultdict(float)
        self.returns: list[float] = []
        self.steps = 0

    def _on_rollout_start(self) -> None:
        self.sums.clear()
        self.sums |= {f"rl/action/{name}": 0.0 for name in ACTIONS}  # 0 for one never taken
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
        return True

    def report(self) -> dict[str, float]:
        """Means over the steps of the rollout, and of the returns of its finished episodes."""
        means = {name: value / self.steps for name, value in self.sums.items()}
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
