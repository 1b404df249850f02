"""A preference tuning that was stopped anywhere and resumed ends as one that was not."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from infinito import run as program
from infinito.cli.composition import check
from infinito.models.checkpoint_file import read_checkpoint
from infinito.paths import conf_dir
from infinito.preferences.dpo_module import DpoPolicyTask
from infinito.preferences.report.document import TIMING
from infinito.training.callbacks.interruption import Interrupted
from tests.kills import whole_and_killed
from tests.same_runs import assert_same_checkpoints, differing

OPTIONS = (
    "+experiment=dpo",
    "data.block_size=200",
    "dpo.warmup_steps=4",
    "dpo.answers=1",
    "dpo.dropout=true",
    "model.dim=16",
    "model.layers=1",
    "model.dropout=0.1",
    "attention.heads=2",
    "tokenizer.vocab_size=300",
    "generation.max_new_tokens=4",
    "trainer.epochs=2",
    "trainer.accelerator=cpu",
    "trainer.threads=1",
    "trainer.progress_bar=false",
)


def assert_same_run(one: Path, other: Path) -> None:
    assert_same_checkpoints(one, other)
    reports = [
        json.loads((folder / "training_report.json").read_text()) | {TIMING: None}
        for folder in (one, other)
    ]
    assert list(differing(*reports)) == []


LEAN = (
    "optimizer.in_backward=true",
    "optimizer.clip_norm=null",
    "optimizer.moments=bfloat16",
    "trainer.matmul_precision=medium",
)


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("call", [1, 3, 4])
def test_a_stopped_tuning_ends_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int, accumulate: int
) -> None:
    stop_and_resume(tmp_path, monkeypatch, call, f"trainer.accumulate={accumulate}")
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")


def test_a_stopped_tuning_in_little_memory_ends_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_and_resume(tmp_path, monkeypatch, 3, *LEAN)
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")
    last = read_checkpoint(tmp_path / "stopped/checkpoints/last.ckpt")
    moments = last["optimizer_states"][0]["state"][0]
    assert moments["exp_avg_sq"].dtype == torch.bfloat16


def stop_and_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int, *overrides: str
) -> None:
    """Train in `whole` undisturbed, and in `stopped` with a signal in a step and a resume."""
    options = (*OPTIONS, f"data.cache_dir={tmp_path}", *overrides)
    program.execute(check(options, conf_dir()), tmp_path / "whole")
    step, calls = DpoPolicyTask.training_step, []

    def stopping(self: DpoPolicyTask, batch: Any, batch_idx: int) -> Any:
        calls.append(batch_idx)
        if len(calls) == call:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(DpoPolicyTask, "training_step", stopping)
        with pytest.raises(Interrupted, match="resume="):
            program.execute(check(options, conf_dir()), tmp_path / "stopped")
    program.execute(check([f"resume={tmp_path / 'stopped'}"], conf_dir()), tmp_path / "stopped")


@pytest.mark.slow
def test_ten_kills_at_random_moments(tmp_path: Path) -> None:
    """SIGKILL, ten times, in steps, validations or savings, as it falls."""
    arguments = [
        *OPTIONS,
        f"data.cache_dir={tmp_path / 'cache'}",
        "trainer.epochs=150",
        "trainer.checkpoint_every=7",
    ]
    whole, killed = whole_and_killed(tmp_path, arguments)
    assert_same_run(whole, killed)
