"""Builds the schedule's ground (text, base model, start states), its environments and its PPO."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from stable_baselines3 import PPO
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from infinito.build.model import language_model
from infinito.config import RunConf
from infinito.data.datamodule import LanguageDataModule
from infinito.errors import CheckpointError
from infinito.objectives.phi import Calibration
from infinito.rl.collapse import CollapseMonitor
from infinito.rl.controls import Chooser
from infinito.rl.episodes import Episodes, Rules
from infinito.rl.learners import InnerTraining, Learners
from infinito.rl.observation import ACTIONS, BOUNDS
from infinito.rl.playing import Played, played
from infinito.rl.start_states import Recipe, StartStates, calibrated, made, trained_base
from infinito.rl.stepping import SteppedPPO, new_ppo
from infinito.rl.text import Text, spread_windows
from infinito.rl.vector_environment import ScheduleVecEnv
from infinito.seeding import child_seed
from infinito.tasks.rl_scheduler import RlSchedulerTask
from infinito.trainer.checkpoint_io import (
    FORMAT,
    SafeCheckpointIO,
    read_checkpoint,
    write_checkpoint,
)
from infinito.trainer.interruption import Interruption
from infinito.trainer.kept_checkpoints import KeptCheckpoints
from infinito.trainer.loading import description_of, load_weights, open_trained
from infinito.trainer.milestones import Milestones

UNSEEN_WINDOWS = 256
"""Windows of the test split by which the final model of an episode is measured."""
BANKS = ("train", "valid", "test")


@dataclass(frozen=True)
class Ground:
    """What the environments of a run share."""

    text: Text
    model: PreTrainedModel
    """The base model."""
    tokenizer: PreTrainedTokenizerBase
    calibration: Calibration
    base_perplexity: float
    banks: dict[str, StartStates]


def ground(run: RunConf, data: LanguageDataModule, folder: Path) -> Ground:
    """The ground of the run in `folder`, made and saved there when it is not there yet."""
    seeded = replace(run, seed=run.rl.ground_seed)
    model = language_model(seeded, data.vocab_size, data.tokenizer.eos_token_id)
    text = Text(
        data.blocks("train"),
        spread_windows(data.blocks("valid"), run.rl.probe_windows),
        spread_windows(data.blocks("test"), UNSEEN_WINDOWS),
    )
    path = folder / "start_states.ckpt"
    if not path.is_file():
        write_checkpoint(_new_ground(run, model, data.tokenizer, text), path)
    saved = read_checkpoint(path)
    load_weights(model, saved["base"], path)
    banks = {
        name: StartStates(_unstacked(bank["states"]), bank["phi"].numpy())
        for name, bank in saved["banks"].items()
    }
    calibration = Calibration(*saved["calibration"])
    return Ground(text, model, data.tokenizer, calibration, saved["base_perplexity"], banks)


def _new_ground(
    run: RunConf, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: Text
) -> dict[str, Any]:
    rl, training = run.rl, inner_training(run)
    if rl.base_checkpoint is not None:
        _start_from(model, tokenizer, rl.base_checkpoint)
    else:
        seed = child_seed(rl.ground_seed, "base")
        trained_base(model, text, training, rl.base_steps, rl.base_batch_size, seed)
    calibration = calibrated(model, text, training, child_seed(rl.ground_seed, "calibration"))
    base = Learners(model, 1, training, calibration).measure(text.probe)
    banks = {}
    for name in BANKS:
        recipe = Recipe(
            child_seed(rl.ground_seed, "bank", name),
            rl.start_states,
            most_steps=rl.lead_steps,
            batch_size=run.data.batch_size,
        )
        bank = made(model, text, training, calibration, recipe)
        banks[name] = {"states": _stacked(bank.states), "phi": torch.from_numpy(bank.phi)}
    return {
        "infinito": {"format": FORMAT, "kind": "start_states", **description_of(model, tokenizer)},
        "base": model.state_dict(),
        "base_perplexity": float(base.perplexity[0]),
        "calibration": list(calibration),
        "banks": banks,
    }


def _start_from(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, base: str) -> None:
    try:
        trained = open_trained(base)
    except CheckpointError as error:
        raise CheckpointError(
            f"`rl.base_checkpoint`={base}: {error}. Leave it out to train a base model here."
        ) from None
    if trained.tokenizer.get_vocab() != tokenizer.get_vocab():
        raise CheckpointError(
            f"`rl.base_checkpoint`={base} was trained with another tokenizer than this run has. "
            f"Use `tokenizer=pretrained tokenizer.path={Path(base) / 'model'}`."
        )
    load_weights(model, trained.model.state_dict(), trained.source)


def inner_training(run: RunConf) -> InnerTraining:
    """How the language models of the environments train."""
    rl = run.rl
    return InnerTraining(
        lr=rl.inner_lr,
        optimizer=rl.inner_optimizer,
        clip_norm=run.optimizer.clip_norm or float("inf"),
        phi_sequences=rl.phi_sequences,
        vectorised=rl.vectorised,
    )


def episodes(
    run: RunConf, ground: Ground, bank: str, count: int, seed: int, null: bool = False
) -> Episodes:
    """Environments that start from a bank; in null ones, nothing changes."""
    training = inner_training(run)
    learners = Learners(
        ground.model, count, replace(training, lr=0.0) if null else training, ground.calibration
    )
    rules = Rules(
        run.rl.reward,
        ground.base_perplexity,
        run.rl.inner_steps,
        run.rl.max_steps,
        run.data.batch_size,
    )
    seeds = [child_seed(seed, index) >> 1 for index in range(count)]
    return Episodes(learners, ground.text, ground.banks[bank], rules, seeds)


def player(
    run: RunConf, ground: Ground, bank: str, count: int, null: bool = False
) -> Callable[[Chooser], Played]:
    """Plays `count` episodes of a policy, the same for every policy."""
    seed = child_seed(run.rl.ground_seed, "play", bank) % 2**31

    def play(choose: Chooser) -> Played:
        def environments(envs: int) -> Episodes:
            return episodes(run, ground, bank, envs, seed, null)

        return played(environments, choose, count, seed, run.rl.envs)

    return play


def description(run: RunConf) -> dict[str, Any]:
    """What a policy was trained for, as plain values."""
    return {
        "kind": "rl_scheduler",
        "reward": asdict(run.rl.reward),
        "actions": {name: list(action) for name, action in ACTIONS.items()},
        "observation": {name: list(bounds) for name, bounds in BOUNDS.items()},
    }


def ppo(run: RunConf, ground: Ground) -> PPO:
    """PPO with a new policy, over the training environments."""
    seed = child_seed(run.seed, "environment")
    environment = ScheduleVecEnv(episodes(run, ground, "train", run.rl.envs, seed))
    return new_ppo(environment, run.rl, child_seed(run.seed, "policy"))


def rollouts(run: RunConf, timesteps: int) -> int:
    """How many rollouts make at least so many environment steps."""
    return -(-timesteps // (run.rl.n_steps * run.rl.envs))


def rl_task(run: RunConf, ground: Ground, agent: PPO) -> RlSchedulerTask:
    """The Lightning module that trains the agent."""
    count = run.rl.validation_episodes
    players = {bank: player(run, ground, bank, count) for bank in ("train", "valid")}
    return RlSchedulerTask(
        SteppedPPO(agent, run.rl.total_timesteps),
        lambda choose, bank: players[bank](choose),
        CollapseMonitor(run.rl.patience),
        description(run),
    )


def rl_trainer(
    run: RunConf,
    folder: Path,
    interruption: Interruption,
    callbacks: list[Callback],
    resumed_step: int | None = None,
) -> Trainer:
    """A Lightning trainer of rollouts that writes to `folder`."""
    rl, checkpoints = run.rl, folder / "checkpoints"
    milestones = Milestones(
        checkpoints,
        rollouts(run, rl.total_timesteps),
        rollouts(run, rl.validate_every),
        interruption=interruption,
        monitor="val/cost",
    )
    return Trainer(
        accelerator="cpu",
        max_epochs=1,
        check_val_every_n_epoch=2,  # never within the one epoch: Milestones validates
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        logger=TensorBoardLogger(
            folder,
            name=None,
            version="tensorboard",
            default_hp_metric=False,
            purge_step=resumed_step,
        ),
        callbacks=[KeptCheckpoints(checkpoints, rl.save_freq, rl.keep), milestones, *callbacks],
        plugins=[SafeCheckpointIO()],
        enable_progress_bar=False,
        enable_model_summary=False,
        deterministic=run.deterministic,
    )


def _stacked(states: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return {name: torch.stack([state[name] for state in states]) for name in states[0]}


def _unstacked(stacked: dict[str, torch.Tensor]) -> list[dict[str, torch.Tensor]]:
    count = len(next(iter(stacked.values())))
    return [{name: value[index] for name, value in stacked.items()} for index in range(count)]
