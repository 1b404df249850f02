"""Builds a schedule's environments, its PPO, its task and its trainer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from lightning import Callback, Trainer
from stable_baselines3 import PPO

from infinito.config import RunConf, TrainerConf
from infinito.rl.environment.episodes import Episodes, Rules
from infinito.rl.environment.learners import Learners
from infinito.rl.environment.shared_parts import Ground, build_inner_training
from infinito.rl.environment.spaces import ACTIONS, BOUNDS
from infinito.rl.environment.vector_environment import ScheduleVecEnv
from infinito.rl.evaluation.controls import Chooser
from infinito.rl.evaluation.playing import Played, played
from infinito.rl.ppo.collapse import CollapseMonitor
from infinito.rl.ppo.kept_checkpoints import KeptCheckpoints
from infinito.rl.ppo.ppo_module import RlSchedulerTask
from infinito.rl.ppo.stepping import SteppedPPO, new_ppo
from infinito.seeding import child_seed
from infinito.training.callbacks.interruption import Interruption
from infinito.training.callbacks.milestones import Milestones
from infinito.training.trainer import build_tensorboard_logger, build_trainer


def build_episodes(
    conf: RunConf, ground: Ground, bank: str, count: int, seed: int, null: bool = False
) -> Episodes:
    """Environments that start from a bank; in null ones, nothing changes."""
    training = build_inner_training(conf)
    learners = Learners(
        ground.model, count, replace(training, lr=0.0) if null else training, ground.calibration
    )
    rules = Rules(
        conf.rl.reward,
        ground.base_perplexity,
        conf.rl.inner_steps,
        conf.rl.max_steps,
        conf.data.batch_size,
    )
    seeds = [child_seed(seed, index) >> 1 for index in range(count)]
    return Episodes(learners, ground.text, ground.banks[bank], rules, seeds)


def build_player(
    conf: RunConf, ground: Ground, bank: str, count: int, null: bool = False
) -> Callable[[Chooser], Played]:
    """Plays `count` episodes of a policy, the same for every policy."""
    seed = child_seed(conf.rl.ground_seed, "play", bank) % 2**31

    def play(choose: Chooser) -> Played:
        def environments(envs: int) -> Episodes:
            return build_episodes(conf, ground, bank, envs, seed, null)

        return played(environments, choose, count, seed, conf.rl.envs)

    return play


def describe_schedule(conf: RunConf) -> dict[str, Any]:
    """What a policy was trained for, as plain values."""
    return {
        "kind": "rl_scheduler",
        "reward": asdict(conf.rl.reward),
        "actions": {name: list(action) for name, action in ACTIONS.items()},
        "observation": {name: list(bounds) for name, bounds in BOUNDS.items()},
    }


def build_ppo(conf: RunConf, ground: Ground) -> PPO:
    """PPO with a new policy, over the training environments."""
    seed = child_seed(conf.seed, "environment")
    environment = ScheduleVecEnv(build_episodes(conf, ground, "train", conf.rl.envs, seed))
    return new_ppo(environment, conf.rl, child_seed(conf.seed, "policy"))


def count_rollouts(conf: RunConf, timesteps: int) -> int:
    """How many rollouts make at least so many environment steps."""
    return -(-timesteps // (conf.rl.n_steps * conf.rl.envs))


def build_ppo_module(conf: RunConf, ground: Ground, agent: PPO) -> RlSchedulerTask:
    """The Lightning module that trains the agent."""
    count = conf.rl.validation_episodes
    players = {bank: build_player(conf, ground, bank, count) for bank in ("train", "valid")}
    return RlSchedulerTask(
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
    return build_trainer(
        TrainerConf(accelerator="cpu"),
        [KeptCheckpoints(checkpoints, rl.save_freq, rl.keep), milestones, *callbacks],
        deterministic=conf.deterministic,
        logger=build_tensorboard_logger(folder, resumed_step),
    )
