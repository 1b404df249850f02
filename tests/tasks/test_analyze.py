"""Attention statistics and pictures of a trained model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from infinito import run as program
from infinito.config import RunConf


def test_statistics_a_layer_and_a_picture(
    finished: Callable[..., Path], reading: Callable[..., RunConf], tmp_path: Path
) -> None:
    run = finished("model.layers=2")
    program.execute(reading("task=analyze", f"checkpoint={run}"), tmp_path / "analysis")
    report = json.loads((tmp_path / "analysis/attention.json").read_text())
    assert len(report["layers"]) == 2
    for layer in report["layers"]:
        assert 0 < layer["entropy"] <= 1
        assert 0 < layer["max"] <= 1
    assert (tmp_path / "analysis/attention.png").read_bytes().startswith(b"\x89PNG")
