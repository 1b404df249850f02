"""Trainings of toy policies on eight random pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import torch
from lightning import Trainer
from transformers import PreTrainedModel

from infinito.config import AdamWConf
from infinito.models.checkpoint_file import read_checkpoint
from infinito.preferences.dpo_module import DpoPolicyTask
from infinito.preferences.log import PreferenceLog
from infinito.preferences.objective.weighted_losses import PreferenceObjective
from infinito.preferences.pairs.datamodule import PreferenceDataModule
from infinito.preferences.reference.policies import Reference
from infinito.preferences.scoring.layout_probe import Layout
from infinito.preferences.scoring.layouts import PairBatch
from infinito.training.callbacks.milestones import Milestones
from infinito.training.trainer import SafeCheckpointIO
from tests.preferences.pair_models import make, random_pairs

PAIRS = random_pairs(8)
SHARED = Layout("shared", "fused")


def task_of(model: PreTrainedModel, reference: Reference, **changes: Any) -> DpoPolicyTask:
    settings: dict[str, Any] = {
        "layout": SHARED,
        "objective": PreferenceObjective(),
        "optimizer": AdamWConf(lr=1e-3, schedule="constant", weight_decay=0.0),
        "total_steps": 100,
        **changes,
    }
    return DpoPolicyTask(model, reference=reference, **settings)


def trained(
    task: DpoPolicyTask,
    folder: Path,
    batches: int,
    *,
    stop_after: int | None = None,
    table: torch.Tensor | None = None,
    accumulate: int = 1,
    every: int = 1,
    **data_changes: Any,
) -> PreferenceLog:
    """Trains on the pairs, or goes on with what `folder` holds."""
    settings: dict[str, Any] = {"layout": task.layout.name, "batch_size": 2, "seed": 5}
    data = PreferenceDataModule(
        PAIRS, PAIRS[:3], **{**settings, **data_changes}, accumulate=accumulate,
        train_reference=table, valid_reference=None if table is None else table[:3],
    )  # fmt: skip
    data.total_batches = batches
    last = folder / "last.ckpt"
    if last.exists():
        state = read_checkpoint(last)
        data.start_batch = state["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"][
            "completed"
        ]
    log = PreferenceLog(every)
    trainer = Trainer(
        max_epochs=1,
        limit_train_batches=stop_after if stop_after else 1.0,
        callbacks=[log, Milestones(folder, batches, validate_every=3)],
        plugins=[SafeCheckpointIO()],
        accumulate_grad_batches=accumulate,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
        num_sanity_val_steps=0,
        limit_val_batches=1.0,
        check_val_every_n_epoch=None,
        val_check_interval=10**9,
    )
    trainer.fit(task, data, ckpt_path=last if last.exists() else None, weights_only=True)
    return log


def losses(log: PreferenceLog) -> list[float]:
    return [point["train/loss"] for point in log.history if "train/loss" in point]


def loss_of(task: DpoPolicyTask, batch: PairBatch, number: int = 0) -> float:
    return float(task.training_step(batch, number).detach())


def gradients(task: DpoPolicyTask) -> torch.Tensor:
    return torch.cat([each.grad.flatten() for each in task.trained if each.grad is not None])


def adapted(seed: int = 0) -> Any:
    config = peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    torch.manual_seed(seed)
    return peft.get_peft_model(make("llama"), config)
