"""`trainer.minutes` in two processes: the first one's clock decides for both."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from tests.conftest import TINY
from tests.training.test_resume import weights


@pytest.mark.slow
def test_two_processes_train_as_many_steps_as_the_configuration_says(
    command: Callable[..., subprocess.CompletedProcess[str]], text_file: Path, tmp_path: Path
) -> None:
    fixed = [each for each in TINY if "max_steps" not in each]
    usual = (*fixed, f"data.path={text_file}", "data.cache_dir=cache", "trainer=ddp")
    place = ("trainer.accelerator=cpu", "trainer.epochs=null")
    timed = command(*usual, *place, "trainer.minutes=0.6", "hydra.run.dir=timed")
    assert timed.returncode == 0, timed.stderr
    steps = OmegaConf.load(tmp_path / "timed/config.yaml").trainer.max_steps
    assert re.search(rf"0\.6 minutes are {steps:,} steps at", timed.stdout)
    counted = command(*usual, *place, f"trainer.max_steps={steps}", "hydra.run.dir=counted")
    assert counted.returncode == 0, counted.stderr
    found = weights(tmp_path / "counted")
    assert all(
        torch.equal(found[name], value) for name, value in weights(tmp_path / "timed").items()
    )
