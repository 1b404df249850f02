"""Builds and saves what a run's environments share: text, base model, calibration, start states."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from infinito.config import RunConf
from infinito.data.datamodule import LanguageDataModule
from infinito.errors import CheckpointError
from infinito.models.assembly import build_language_model
from infinito.models.checkpoint_file import FORMAT, read_checkpoint, write_checkpoint
from infinito.models.trained import describe_model, load_weights, open_trained
from infinito.objectives.phi import Calibration
from infinito.rl.environment.stacked_models import InnerTraining, StackedModels
from infinito.rl.environment.start_states import (
    StartStates,
    StartStateSettings,
    build_start_states,
    fit_calibration,
    train_base_model,
)
from infinito.rl.environment.windows import Windows, spread_windows
from infinito.seeding import child_seed

TEST_WINDOWS = 256
"""Windows of the test split on which the final model of an episode is measured."""
SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class SharedParts:
    """What all environments of a run have in common."""

    windows: Windows
    model: PreTrainedModel
    """The base model."""
    tokenizer: PreTrainedTokenizerBase
    calibration: Calibration
    base_perplexity: float
    """Perplexity of the base model on the probe batch."""
    start_states: dict[str, StartStates]
    """Start states of each of `SPLITS`."""


def load_shared_parts(conf: RunConf, data: LanguageDataModule, folder: Path) -> SharedParts:
    """Load the shared parts of the run in `folder`; build and save them there first if missing.

    Raises:
        CheckpointError: `rl.base_checkpoint` is missing or has another tokenizer.
        NonFiniteError: the training of a start state diverged.
    """
    seeded = replace(conf, seed=conf.rl.shared_seed)
    model = build_language_model(seeded, data.vocab_size, data.tokenizer.eos_token_id)
    windows = Windows(
        data.blocks("train"),
        spread_windows(data.blocks("valid"), conf.rl.probe_windows),
        spread_windows(data.blocks("test"), TEST_WINDOWS),
    )
    path = folder / "start_states.ckpt"
    if not path.is_file():
        write_checkpoint(_build(conf, model, data.tokenizer, windows), path)
    saved = read_checkpoint(path)
    load_weights(model, saved["base"], path)
    start_states = {
        split: StartStates(_unstack(each["states"]), each["phi"].numpy())
        for split, each in saved["banks"].items()  # the key of all files written so far
    }
    return SharedParts(
        windows,
        model,
        data.tokenizer,
        Calibration(*saved["calibration"]),
        saved["base_perplexity"],
        start_states,
    )


def _build(
    conf: RunConf, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, windows: Windows
) -> dict[str, Any]:
    """Return the content of start_states.ckpt; the model becomes the base model."""
    rl, training = conf.rl, build_inner_training(conf)
    if rl.base_checkpoint is not None:
        _load_base_checkpoint(model, tokenizer, rl.base_checkpoint)
    else:
        seed = child_seed(rl.shared_seed, "base")
        train_base_model(model, windows, training, rl.base_steps, rl.base_batch_size, seed)
    calibration = fit_calibration(
        model, windows, training, child_seed(rl.shared_seed, "calibration")
    )
    base = StackedModels(model, 1, training, calibration).measure(windows.probe)
    saved = {}
    for split in SPLITS:
        settings = StartStateSettings(
            child_seed(rl.shared_seed, "bank", split),  # another path would give other states
            rl.start_states,
            max_steps=rl.start_state_steps,
            batch_size=conf.data.batch_size,
        )
        built = build_start_states(model, windows, training, calibration, settings)
        saved[split] = {"states": _stack(built.states), "phi": torch.from_numpy(built.phi)}
    return {
        "infinito": {"format": FORMAT, "kind": "start_states", **describe_model(model, tokenizer)},
        "base": model.state_dict(),
        "base_perplexity": float(base.perplexity[0]),
        "calibration": list(calibration),
        "banks": saved,
    }


def _load_base_checkpoint(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, base: str
) -> None:
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


def build_inner_training(conf: RunConf) -> InnerTraining:
    """Return the settings by which the environments' language models train."""
    rl = conf.rl
    return InnerTraining(
        lr=rl.inner_lr,
        optimizer=rl.inner_optimizer,
        clip_norm=conf.optimizer.clip_norm or float("inf"),
        phi_sequences=rl.phi_sequences,
        vectorised=rl.vectorised,
    )


def _stack(states: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return {name: torch.stack([state[name] for state in states]) for name in states[0]}


def _unstack(stacked: dict[str, torch.Tensor]) -> list[dict[str, torch.Tensor]]:
    count = len(next(iter(stacked.values())))
    return [{name: value[index] for name, value in stacked.items()} for index in range(count)]
