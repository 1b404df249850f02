"""A finished training of the tiny schedule."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from infinito import run as program
from infinito.config import RunConf


@pytest.fixture(scope="session")
def finished(
    rl_configured: Callable[..., RunConf], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A finished schedule of 45 steps; tests that change it take a copy."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    program.execute(rl_configured("rl.export_zip=true"), folder)
    return folder
