"""Calibrating Φ of a trained model on a text."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from infinito import run as program
from infinito.config import RunConf
from infinito.models.trained import open_trained
from infinito.training.phi.term import read_calibration

PHI = "objective=language_phi"


def test_calibrate_phi(
    finished: Callable[..., Path], reading: Callable[..., RunConf], text_file: Path, tmp_path: Path
) -> None:
    source = finished()
    options = ["task=calibrate_phi", "data=text", f"data.path={text_file}", "data.block_size=16"]
    for number, checkpoint in enumerate((source, source / "model")):
        folder = tmp_path / f"calibrated{number}"
        program.execute(reading(*options, f"checkpoint={checkpoint}"), folder)
        report = json.loads((folder / "calibration.json").read_text())
        assert report["quantiles"]["Φ"]["2.5 %"] == pytest.approx(3.0, abs=1e-3)
        assert report["quantiles"]["Φ"]["97.5 %"] == pytest.approx(6.0, abs=1e-3)
        assert not list(folder.rglob("best.ckpt"))  # which `checkpoint=last` would take for a run
        place = folder if number == 0 else folder / "model"
        found = read_calibration(open_trained(str(place)).model)
        assert found == pytest.approx((report["scale"], report["offset"]))


def test_calibrate_phi_takes_text_and_weights_of_the_run(
    trained: Callable[..., Path], reading: Callable[..., RunConf], tmp_path: Path
) -> None:
    """So a model that has not moved gets the calibration that its own run fitted."""
    weights = "objective.component_weights=[0.2,0.2,0.6,0]"
    source = trained(PHI, weights, "optimizer.lr=1e-12", "trainer.max_steps=1")
    program.execute(reading("task=calibrate_phi", f"checkpoint={source}"), tmp_path / "calibrated")
    report = json.loads((tmp_path / "calibrated/calibration.json").read_text())
    expected = json.loads((source / "summary.json").read_text())["phi_calibration"]
    assert [report["scale"], report["offset"]] == pytest.approx(expected, rel=1e-4)
