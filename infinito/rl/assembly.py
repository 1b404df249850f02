"""Builds a schedule's environments, its PPO, its task and its trainer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from lightning import Callback, Trainer
from stable_baselines3 import PPO

from infinito.config import RunConf
from infinito.rl.environment.episodes import Episodes, EpisodeSettings
from infinito.rl.environment.shared_parts import SharedParts, build_inner_training
from infinito.rl.environment.spaces import ACTIONS, OBSERVATION_BOUNDS
from infinito.rl.environment.stacked_models import StackedModels
from infinito.rl.environment.vector_environment import ScheduleVecEnv
from infinito.rl.evaluation.controls import Policy
from infinito.rl.evaluation.trajectories import Trajectories, played
from infinito.rl.ppo.collapse import CollapseMonitor
from infinito.rl.ppo.kept_checkpoints import KeptCheckpoints
from infinito.rl.ppo.ppo_module import PPOModule
from infinito.rl.ppo.stepping import SteppedPPO, create_ppo
from infinito.seeding import child_seed
from infinito.training.assembly import build_tensorboard_logger
from infinito.training.callbacks.interruption import Interruption
from infinito.training.callbacks.milestones import Milestones
from infinito.training.checkpoint_plugin import SafeCheckpointIO


def build_episodes(
    conf: RunConf, shared: SharedParts, bank: str, count: int, seed: int, null: bool = False
) -> Episodes:
    """Environments that start from a bank; in null ones, nothing changes."""
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
    return Episodes(models, shared.text, shared.banks[bank], settings, seeds)


def build_player(
    conf: RunConf, shared: SharedParts, bank: str, count: int, null: bool = False
) -> Callable[[Policy], Trajectories]:
    """Plays `count` episodes of a policy, the same for every policy."""
    seed = child_seed(conf.rl.ground_seed, "play", bank) % 2**31

    def play(choose: Policy) -> Trajectories:
        def environments(envs: int) -> Episodes:
            return build_episodes(conf, shared, bank, envs, seed, null)

        return played(environments, choose, count, seed, conf.rl.envs)

    return play


def describe_schedule(conf: RunConf) -> dict[str, Any]:
    """What a policy was trained for, as plain values."""
    return {
        "kind": "rl_scheduler",
        "reward": asdict(conf.rl.reward),
        "actions": {name: list(action) for name, action in ACTIONS.items()},
        "observation": {name: list(bounds) for name, bounds in OBSERVATION_BOUNDS.items()},
    }


def build_ppo(conf: RunConf, shared: SharedParts) -> PPO:
    """PPO with a new policy, over the training environments."""
    seed = child_seed(conf.seed, "environment")
    environment = ScheduleVecEnv(build_episodes(conf, shared, "train", conf.rl.envs, seed))
    return create_ppo(environment, conf.rl, child_seed(conf.seed, "policy"))


def count_rollouts(conf: RunConf, timesteps: int) -> int:
    """How many rollouts make at least so many environment steps."""
    return -(-timesteps // (conf.rl.n_steps * conf.rl.envs))


def build_ppo_module(conf: RunConf, shared: SharedParts, agent: PPO) -> PPOModule:
    """The Lightning module that trains the agent."""
    count = conf.rl.validation_episodes
    players = {bank: build_player(conf, shared, bank, count) for bank in ("train", "valid")}
    return PPOModule(
        SteppedPPO(agent, conf.rl.total_timesteps),
        lambda choose, bank: players[bank](choose),
        CollapseMonitor(conf.rl.patience),
        describe_schedule(conf),
    )


def build_ppo_trainer(
    conf: RunConf,
    folder: Path,
    interruption: Interruption,
    callbacks: list[Callback],
    resumed_step: int | None = None,
) -> Trainer:
    """A Lightning trainer of rollouts that writes to `folder`."""
    rl, checkpoints = conf.rl, folder / "checkpoints"
    milestones = Milestones(
        checkpoints,
        count_rollouts(conf, rl.total_timesteps),
        count_rollouts(conf, rl.validate_every),
        interruption=interruption,
        monitor="val/cost",
    )
    return Trainer(
        accelerator="cpu",
        max_epochs=1,
        check_val_every_n_epoch=2,  # never within the one epoch: Milestones validates
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        logger=build_tensorboard_logger(folder, resumed_step),
        callbacks=[KeptCheckpoints(checkpoints, rl.save_freq, rl.keep), milestones, *callbacks],
        plugins=[SafeCheckpointIO()],
        enable_progress_bar=False,
        enable_model_summary=False,
        deterministic=conf.deterministic,
    )
