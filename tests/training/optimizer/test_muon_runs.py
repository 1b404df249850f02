"""Whole commands with Muon: clipping, dry run, trials, and two processes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from infinito import run as program
from infinito.config import RunConf
from tests.ranks import Ranks
from tests.training.test_resume import weights

Configured = Callable[..., RunConf]
Trained = Callable[..., Path]


def test_one_norm_is_that_of_all_gradients(trained: Trained) -> None:
    """The first step's gradient does not depend on who will take it."""
    norms = []
    for name in ("muon", "adamw"):
        steps = ("trainer.max_steps=2", "optimizer.warmup_steps=0")
        folder = trained(f"optimizer={name}", *steps, folder=name)
        events = EventAccumulator(str(folder)).Reload()
        norms.append(events.Scalars("train/gradient_norm")[0].value)
    assert norms[0] == norms[1] > 0


def test_the_shares_stand_in_the_log(trained: Trained) -> None:
    """12·16·16 of one layer's matrices."""
    log = (trained("optimizer=muon", "optimizer.warmup_steps=0") / "run.log").read_text()
    assert "muon for 3,072 parameters (1 attention.qkv, 1 attention.out, " in log
    assert "), adamw for " in log


def test_a_dry_run_names_the_shares(
    configured: Configured, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    program.execute(
        configured("optimizer=muon", "optimizer.warmup_steps=0", "dry_run=true"), tmp_path / "run"
    )
    assert "muon for 3,072 parameters" in " ".join(capsys.readouterr().out.split())
    assert not (tmp_path / "run").exists()


def test_the_rate_of_a_trial_counts(configured: Configured, tmp_path: Path) -> None:
    losses = []
    for rate in ("0.001", "0.1"):
        conf = configured(
            "task=trial",
            "optimizer=muon",
            "optimizer.warmup_steps=0",
            f"optimizer.matrix_lr={rate}",
        )
        program.execute(conf, tmp_path / rate)
        losses.append(json.loads((tmp_path / rate / "summary.json").read_text())["val/loss"])
    assert losses[0] != losses[1]


@pytest.mark.slow
def test_two_processes_train_as_one(
    trained: Trained, configured: Configured, tmp_path: Path
) -> None:
    """Batches of 2 + 2 windows and of 4: the weights agree."""
    exact = (
        "optimizer=muon",
        "optimizer.warmup_steps=0",
        "trainer.precision=64-true",
        "trainer.max_steps=4",
    )
    one = trained(*exact, "data.batch_size=4", folder="one")
    shared = configured(*exact, "trainer.strategy=ddp", "trainer.devices=2", "data.batch_size=2")
    two = Ranks(shared, tmp_path / "two")
    assert two.join() == [0, 0], two.printed()
    found = weights(two.folder)
    for name, value in weights(one).items():
        assert torch.allclose(found[name], value, rtol=0, atol=2e-3)
