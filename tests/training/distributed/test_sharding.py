"""Weights spread over two processes train, are measured, saved and resumed as those of one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from infinito.config import RunConf
from infinito.models.checkpoint_file import read_checkpoint
from infinito.models.trained import open_trained
from tests.ranks import Ranks
from tests.training.distributed.test_equal_numbers import logged

Configured = Callable[..., RunConf]

STEPS = (
    "trainer.max_steps=20", "trainer.validate_every=10", "trainer.validation_batches=4",
    "model.layers=2", "optimizer.clip_norm=0.5",
)  # fmt: skip
SHARDED = ("trainer.strategy=fsdp", "trainer.devices=2", "data.batch_size=4")
WHOLE = ("data.batch_size=8",)


def state_of(folder: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(folder / "checkpoints/last.ckpt")["state_dict"]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("objective", ["language", "language_phi"])
def test_sharded_training_equals_one_process(
    configured: Configured, trained: Callable[..., Path], tmp_path: Path, objective: str
) -> None:
    one = trained(*STEPS, *WHOLE, f"objective={objective}", folder="one")
    two = tmp_path / "two"
    ranks = Ranks(configured(*STEPS, *SHARDED, f"objective={objective}"), two)
    assert ranks.join() == [0, 0], ranks.printed()
    first, second = state_of(one), state_of(two)
    assert first.keys() == second.keys()
    assert max(float((first[name] - second[name]).abs().max()) for name in first) <= 1e-5
    curves = logged(one), logged(two)
    assert set(curves[0]) == set(curves[1]), "attention is measured by both"
    for name, points in curves[0].items():
        values = [value for _, value in points]
        share = 0.1 if "attention" in name else 1e-3  # measured on a window or two of rank 0's
        others = [value for _, value in curves[1][name]]
        assert others == pytest.approx(values, rel=share, abs=1e-4), name
    assert json.loads((two / "summary.json").read_text())["sample"]
    exported = open_trained(str(two / "model")).model.state_dict()
    kept = read_checkpoint(two / "checkpoints/best.ckpt")["state_dict"]
    assert all(torch.equal(exported[name.removeprefix("model.")], kept[name]) for name in kept)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_killed_sharded_training_goes_on_to_the_same_bits(
    configured: Configured, tmp_path: Path
) -> None:
    length = ("trainer.max_steps=60", "trainer.validate_every=20", "trainer.checkpoint_every=5")
    conf = configured(*SHARDED, *length, "model.dropout=0.1")
    whole = Ranks(conf, tmp_path / "whole")
    assert whole.join() == [0, 0], whole.printed()
    killed = Ranks(conf, tmp_path / "killed")
    killed.wait_for((tmp_path / "killed/checkpoints/last.ckpt").exists)
    killed.processes[1].kill()
    assert killed.join()[0] == 1
    resumed = configured(*SHARDED, *length, "model.dropout=0.1", f"resume={tmp_path / 'killed'}")
    again = Ranks(resumed, tmp_path / "killed")
    assert again.join() == [0, 0], again.printed()
    one, other = (state_of(tmp_path / name) for name in ("whole", "killed"))
    assert all(torch.equal(one[name], other[name]) for name in one)
