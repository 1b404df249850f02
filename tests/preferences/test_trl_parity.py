"""Loss by loss and step by step the same as TRL 1.16."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from infinito.config import AdamWConf
from infinito.preferences.dpo_module import DpoPolicyTask
from infinito.preferences.objective.losses import LOSSES
from infinito.preferences.objective.weighted_losses import PreferenceObjective
from infinito.preferences.pairs.datamodule import PreferenceDataModule
from infinito.preferences.pairs.pair import TokenizedPair
from infinito.preferences.reference.policies import CopyReference
from infinito.preferences.scoring.layout_probe import Layout
from tests.preferences.pair_models import make, random_pairs

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

STEPS, BATCH = 16, 4
PAIRS = random_pairs(24, seed=2)
SMOOTHED = ("exo_pair", "robust", "aot", "aot_unpaired")
TRL_LOSSES = [name for name in LOSSES if name not in ("cdpo", "simpo", "orpo")]


def in_order(seed: int = 0) -> list[list[TokenizedPair]]:
    """The batches of a training, as pairs."""
    data = PreferenceDataModule(PAIRS, PAIRS[:1], layout="shared", batch_size=BATCH, seed=seed)
    data.total_batches = STEPS
    return [[PAIRS[row] for row in batch.rows] for batch in data.train_dataloader()]


def own_losses(model: PreTrainedModel, objective: PreferenceObjective) -> list[float]:
    """The losses of sixteen steps of AdamW at 1e-4, clipped to norm 1."""
    settings = AdamWConf(lr=1e-4, betas=[0.9, 0.999], weight_decay=0.0, schedule="constant")
    layout = Layout("shared", "fused")
    task = DpoPolicyTask(model, layout, objective, settings, STEPS, CopyReference(model))
    data = PreferenceDataModule(PAIRS, PAIRS[:1], layout="shared", batch_size=BATCH)
    data.total_batches = STEPS
    optimizer, _ = task.optimizer_and_schedule()
    losses = []
    for number, batch in enumerate(data.train_dataloader()):
        loss = task.training_step(batch, number)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(task.trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    return losses


def trl_losses(model: PreTrainedModel, folder: Path, **settings: Any) -> list[float]:
    from tests.trl_training import trl_on_pairs

    flat: Sequence[TokenizedPair] = [pair for batch in in_order() for pair in batch]
    trainer = trl_on_pairs(
        model, copy.deepcopy(model), flat, folder, batch_size=BATCH, steps=STEPS, **settings
    )
    trainer.train()
    return trainer.losses


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_sigmoid_step_by_step(name: str, tmp_path: Path) -> None:
    """Sixteen steps at 1e-4: |Δloss| at most 1e-5 in each."""
    own = own_losses(make(name), PreferenceObjective())
    theirs = trl_losses(make(name), tmp_path)
    assert len(own) == len(theirs) == STEPS
    assert own == pytest.approx(theirs, abs=1e-5)
    assert own[-1] < own[0] - 1e-3


@pytest.mark.parametrize("loss", TRL_LOSSES)
def test_every_loss_of_trl(loss: str, tmp_path: Path) -> None:
    """Sixteen steps each: relative difference at most 1e-5."""
    smoothing = 0.1 if loss in SMOOTHED else 0.0
    objective = PreferenceObjective({loss: 1.0}, beta=0.2, label_smoothing=smoothing)
    own = own_losses(make("llama"), objective)
    theirs = trl_losses(
        make("llama"), tmp_path, loss_type=[loss], beta=0.2, label_smoothing=smoothing
    )
    assert own == pytest.approx(theirs, rel=1e-5)


def test_weighted_lists_of_losses(tmp_path: Path) -> None:
    objective = PreferenceObjective({"sigmoid": 0.8, "bco_pair": 0.2, "sft": 1.0})
    own = own_losses(make("llama"), objective)
    theirs = trl_losses(
        make("llama"),
        tmp_path,
        loss_type=["sigmoid", "bco_pair", "sft"],
        loss_weights=[0.8, 0.2, 1.0],
    )
    assert own == pytest.approx(theirs, rel=1e-5)


def test_figures_are_trl_s(tmp_path: Path) -> None:
    """The metrics of a training step, name by name."""
    from tests.trl_training import trl_on_pairs

    batch_pairs = in_order()[0]
    trainer = trl_on_pairs(
        make("llama"), make("llama", seed=1), batch_pairs, tmp_path, batch_size=BATCH, steps=1,
        learning_rate=0.0,
    )  # fmt: skip
    trainer.train()
    theirs = {name: sum(kept) / len(kept) for name, kept in trainer._metrics["train"].items()}
    data = PreferenceDataModule(PAIRS, PAIRS[:1], layout="shared", batch_size=BATCH)
    task = DpoPolicyTask(
        make("llama"), Layout("shared", "fused"), PreferenceObjective(), AdamWConf(), 1,
        CopyReference(make("llama", seed=1)),
    )  # fmt: skip
    task.training_step(next(iter(data.train_dataloader())), 0)
    own = task.training_means.take()
    shared = set(theirs) - {"num_tokens"}
    assert shared <= set(own)
    for name in shared:
        assert own[name] == pytest.approx(theirs[name], rel=1e-4, abs=1e-5), name
