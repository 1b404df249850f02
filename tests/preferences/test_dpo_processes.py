"""Two processes train as one does with the batches of both, each pair counted once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer

from infinito.config import AdamWConf
from infinito.models.checkpoint_file import read_checkpoint
from infinito.preferences.dpo_module import DpoPolicyTask
from infinito.preferences.log import PreferenceLog
from infinito.preferences.objective.weighted_losses import PreferenceObjective
from infinito.preferences.pairs.datamodule import PreferenceDataModule
from infinito.preferences.reference.policies import CopyReference
from infinito.preferences.scoring.layout_probe import Layout
from infinito.training.callbacks.milestones import Milestones
from infinito.training.distributed.peers import Peers
from infinito.training.trainer import SafeCheckpointIO
from tests.preferences.pair_models import make, random_pairs


def trained(folder: Path, devices: int, batch_size: int) -> dict[str, Any]:
    """Two epochs over nine pairs, validated on three."""
    model = make("distance_dot").double()
    settings = AdamWConf(lr=1e-3, schedule="constant", weight_decay=0.0)
    layout = Layout("shared", "fused")
    task = DpoPolicyTask(model, layout, PreferenceObjective(), settings, 6, CopyReference(model))
    pairs = random_pairs(12)
    data = PreferenceDataModule(pairs[:9], pairs[9:], layout="shared", batch_size=batch_size)
    data.total_batches = 2 * data.batches_per_epoch(devices)
    peers = Peers(folder.parent)
    milestones = Milestones(folder, data.total_batches, validate_every=3, peers=peers)
    trainer = Trainer(
        max_epochs=1,
        devices=devices,
        strategy="ddp_spawn" if devices > 1 else "auto",
        accelerator="cpu",
        callbacks=[peers, PreferenceLog(1), milestones],
        plugins=[SafeCheckpointIO()],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        check_val_every_n_epoch=None,
        val_check_interval=10**9,
        use_distributed_sampler=False,
    )
    trainer.fit(task, data)
    return read_checkpoint(folder / "last.ckpt")


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path: Path) -> None:
    """Nine pairs in batches of 2 + 2 and in batches of 4: weights and figures agree."""
    one, two = trained(tmp_path / "one", 1, 4), trained(tmp_path / "two", 2, 2)
    for name, value in one["state_dict"].items():
        assert torch.allclose(two["state_dict"][name], value, rtol=0, atol=1e-9)
    histories = [each["callbacks"][PreferenceLog.KEY]["history"] for each in (one, two)]
    assert len(histories[0]) == len(histories[1]) == 8
    for single, double in zip(*histories, strict=True):
        for key in ("train/loss", "rewards/margins", "val/rewards/margins", "val/loss"):
            assert double.get(key) == pytest.approx(single.get(key), abs=1e-9)
