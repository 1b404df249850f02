"""Builds a schedule's environments, PPO, Lightning module and trainer from the configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from lightning import Callback, Trainer
from rich.console import Console
from stable_baselines3 import PPO

from infinito.config import RunConf, TrainerConf
from infinito.rl.environment.episodes import Episodes, EpisodeSettings
from infinito.rl.environment.shared_parts import SharedParts, build_inner_training
from infinito.rl.environment.spaces import ACTIONS, OBSERVATION_BOUNDS
from infinito.rl.environment.stacked_models import StackedModels
from infinito.rl.environment.vector_environment import ScheduleVecEnv
from infinito.rl.evaluation.controls import Policy
from infinito.rl.evaluation.trajectories import Trajectories, play_episodes
from infinito.rl.ppo.collapse import CollapseMonitor
from infinito.rl.ppo.kept_checkpoints import KeptCheckpoints
from infinito.rl.ppo.ppo_module import PPOModule
from infinito.rl.ppo.stepping import SteppedPPO, create_ppo
from infinito.seeding import child_seed
from infinito.training.callbacks.interruption import Interruption
from infinito.training.callbacks.milestones import Milestones
from infinito.training.callbacks.run_page import RunPage
from infinito.training.dashboards.assembly import build_loggers
from infinito.training.trainer import build_trainer


def build_episodes(
    conf: RunConf, shared: SharedParts, split: str, count: int, seed: int, null: bool = False
) -> Episodes:
    """Return `count` environments over the start states of a split.

    Args:
        null: Set the models' learning rate to 0, so that no action changes anything.
    """
    training = build_inner_training(conf)
    models = StackedModels(
        shared.model, count, replace(training, lr=0.0) if null else training, shared.calibration
    )
    settings = EpisodeSettings(
        conf.rl.reward,
        shared.base_perplexity,
        conf.rl.inner_steps,
        conf.rl.max_steps,
        conf.data.batch_size,
    )
    seeds = [child_seed(seed, index) >> 1 for index in range(count)]
    return Episodes(models, shared.windows, shared.start_states[split], settings, seeds)


def build_player(
    conf: RunConf,
    shared: SharedParts,
    split: str,
    count: int,
    null: bool = False,
    on_step: Callable[[int], None] | None = None,
) -> Callable[[Policy], Trajectories]:
    """Return a function that plays `count` episodes of a policy, the same ones for every policy.

    Args:
        null: Play in the null environment, in which no action changes anything.
        on_step: Called with the number of environment steps just made.
    """
    seed = child_seed(conf.rl.shared_seed, "play", split) % 2**31

    def play(policy: Policy) -> Trajectories:
        def build_environments(envs: int) -> Episodes:
            return build_episodes(conf, shared, split, envs, seed, null)

        return play_episodes(build_environments, policy, count, seed, conf.rl.n_envs, on_step)

    return play


def describe_schedule(conf: RunConf) -> dict[str, Any]:
    """Return the task that a policy is trained for, as plain values."""
    return {
        "kind": "rl_scheduler",
        "reward": asdict(conf.rl.reward),
        "actions": {name: list(action) for name, action in ACTIONS.items()},
        "observation": {name: list(bounds) for name, bounds in OBSERVATION_BOUNDS.items()},
    }


def build_ppo(conf: RunConf, shared: SharedParts) -> PPO:
    """Return PPO with a new policy over the training environments."""
    seed = child_seed(conf.seed, "environment")
    environment = ScheduleVecEnv(build_episodes(conf, shared, "train", conf.rl.n_envs, seed))
    return create_ppo(environment, conf.rl, child_seed(conf.seed, "policy"))


def count_rollouts(conf: RunConf, timesteps: int) -> int:
    """Return the least number of rollouts that make `timesteps` environment steps."""
    return -(-timesteps // (conf.rl.n_steps * conf.rl.n_envs))


def build_ppo_module(
    conf: RunConf, shared: SharedParts, ppo: PPO, on_step: Callable[[int], None] | None = None
) -> PPOModule:
    """Return the Lightning module that trains the policy.

    Args:
        on_step: Called, in rollouts and validations, with the environment steps just made.
    """
    count = conf.rl.validation_episodes
    players = {
        split: build_player(conf, shared, split, count, on_step=on_step)
        for split in ("train", "valid")
    }
    return PPOModule(
        SteppedPPO(ppo, conf.rl.total_timesteps, on_step),
        lambda policy, split: players[split](policy),
        CollapseMonitor(conf.rl.patience),
        describe_schedule(conf),
    )


def build_ppo_trainer(
    conf: RunConf,
    folder: Path,
    interruption: Interruption,
    callbacks: list[Callback],
    resumed_step: int | None = None,
    console: Console | None = None,
) -> Trainer:
    """Return a Lightning trainer, one rollout a step, that writes to `folder`."""
    rl, checkpoints = conf.rl, folder / "checkpoints"
    milestones = Milestones(
        checkpoints,
        count_rollouts(conf, rl.total_timesteps),
        count_rollouts(conf, rl.validate_every),
        interruption=interruption,
        monitor="val/cost",
    )
    return build_trainer(
        TrainerConf(accelerator="cpu"),
        [
            KeptCheckpoints(checkpoints, rl.save_freq, rl.keep),
            RunPage(folder),
            milestones,
            *callbacks,
        ],
        deterministic=conf.deterministic,
        loggers=build_loggers(conf, folder, resumed_step, console=console),
    )
