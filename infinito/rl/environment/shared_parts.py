"""Builds what the environments of a schedule share: text, base model, calibration, start states."""

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
from infinito.models.trained import description_of, load_weights, open_trained
from infinito.objectives.phi import Calibration
from infinito.rl.environment.stacked_models import InnerTraining, StackedModels
from infinito.rl.environment.start_states import (
    StartStates,
    StartStateSettings,
    fit_calibration,
    made,
    train_base_model,
)
from infinito.rl.environment.windows import Text, spread_windows
from infinito.seeding import child_seed

UNSEEN_WINDOWS = 256
"""Windows of the test split by which the final model of an episode is measured."""
SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class SharedParts:
    """What the environments of a run share."""

    text: Text
    model: PreTrainedModel
    """The base model."""
    tokenizer: PreTrainedTokenizerBase
    calibration: Calibration
    base_perplexity: float
    banks: dict[str, StartStates]


def load_shared_parts(conf: RunConf, data: LanguageDataModule, folder: Path) -> SharedParts:
    """The shared of the run in `folder`, made and saved there when it is not there yet."""
    seeded = replace(conf, seed=conf.rl.ground_seed)
    model = build_language_model(seeded, data.vocab_size, data.tokenizer.eos_token_id)
    text = Text(
        data.blocks("train"),
        spread_windows(data.blocks("valid"), conf.rl.probe_windows),
        spread_windows(data.blocks("test"), UNSEEN_WINDOWS),
    )
    path = folder / "start_states.ckpt"
    if not path.is_file():
        write_checkpoint(_build_shared_parts(conf, model, data.tokenizer, text), path)
    saved = read_checkpoint(path)
    load_weights(model, saved["base"], path)
    banks = {
        name: StartStates(_unstacked(bank["states"]), bank["phi"].numpy())
        for name, bank in saved["banks"].items()
    }
    calibration = Calibration(*saved["calibration"])
    return SharedParts(text, model, data.tokenizer, calibration, saved["base_perplexity"], banks)


def _build_shared_parts(
    conf: RunConf, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: Text
) -> dict[str, Any]:
    rl, training = conf.rl, build_inner_training(conf)
    if rl.base_checkpoint is not None:
        _start_from(model, tokenizer, rl.base_checkpoint)
    else:
        seed = child_seed(rl.ground_seed, "base")
        train_base_model(model, text, training, rl.base_steps, rl.base_batch_size, seed)
    calibration = fit_calibration(model, text, training, child_seed(rl.ground_seed, "calibration"))
    base = StackedModels(model, 1, training, calibration).measure(text.probe)
    banks = {}
    for name in SPLITS:
        recipe = StartStateSettings(
            child_seed(rl.ground_seed, "bank", name),
            rl.start_states,
            most_steps=rl.lead_steps,
            batch_size=conf.data.batch_size,
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


def build_inner_training(conf: RunConf) -> InnerTraining:
    """How the language models of the environments train."""
    rl = conf.rl
    return InnerTraining(
        lr=rl.inner_lr,
        optimizer=rl.inner_optimizer,
        clip_norm=conf.optimizer.clip_norm or float("inf"),
        phi_sequences=rl.phi_sequences,
        vectorised=rl.vectorised,
    )


def _stacked(states: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return {name: torch.stack([state[name] for state in states]) for name in states[0]}


def _unstacked(stacked: dict[str, torch.Tensor]) -> list[dict[str, torch.Tensor]]:
    count = len(next(iter(stacked.values())))
    return [{name: value[index] for name, value in stacked.items()} for index in range(count)]
