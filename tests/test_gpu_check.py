"""The check of a GPU: it refuses to be run without one, and its script works at a tiny size."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parent.parent / "experiments/gpu_check/check.py"


def check(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *words], capture_output=True, text=True, check=False
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_refuses(tmp_path: Path) -> None:
    done = check("--out", str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.startswith("error: torch finds no GPU (CUDA) on this machine")
    assert "--cpu-rehearsal" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_rehearsal_says_so_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """Other stages are missing, so it ends with 1 and names them."""
    first = check("--cpu-rehearsal", "--out", str(tmp_path), "--only", "rl")
    assert "rl: ok" in first.stdout, first.stderr
    assert "fault: attention: not run" in first.stderr
    assert first.returncode == 1
    table = (tmp_path / "gpu_check.md").read_text()
    assert "A rehearsal on a CPU: no figure here is of a GPU" in table
    assert "| models | how | step ms |" in table
    rows = json.loads((tmp_path / "gpu_check.json").read_text())["rl"]["rows"]
    assert [row["how"] for row in rows] == ["vmap", "one by one"]
    again = check("--cpu-rehearsal", "--out", str(tmp_path), "--only", "rl")
    assert "rl: done before" in again.stdout


@pytest.mark.slow
def test_every_stage_can_be_rehearsed(tmp_path: Path) -> None:
    done = check("--cpu-rehearsal", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "gpu_check.json").read_text())
    assert all(found[stage]["rows"] for stage in found if stage != "machine")
    assert found["resume"]["rows"][0]["equal_bits"]
