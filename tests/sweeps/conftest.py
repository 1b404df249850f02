"""Sweeps of the tiny application, in processes of their own and in this one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.sweeps.mcts_sweeper import tiny_app
from tests.sweeps.mcts_sweeper.tiny_sweeps import ENOUGH_S, SPACE, Swept, Tiny, arguments


@pytest.fixture
def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "HYDRA_FULL_ERROR": "1", "COLUMNS": "200"}


@pytest.fixture
def tiny(tmp_path: Path, environment: dict[str, str]) -> Tiny:
    """Runs a sweep of the application in an empty folder."""

    def call(*overrides: str, **names: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            arguments(*overrides, **names),
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=ENOUGH_S,
        )

    return call


@pytest.fixture
def swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Swept:
    """Runs a sweep in this process and returns its folder; errors are raised."""
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.chdir(tmp_path)

    def call(*overrides: str, space: tuple[str, ...] = SPACE, folder: str = "sweep") -> Path:
        fixed = ["hydra.sweeper.n_trials=3", "hydra.sweeper.report=false"]
        words = [*space, *fixed, f"hydra.sweep.dir={folder}", *overrides]
        monkeypatch.setattr(sys, "argv", ["tiny_app.py", "-m", *words])
        tiny_app.main()
        return tmp_path / folder

    return call
