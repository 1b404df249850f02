"""Results of Φ: of the best checkpoint's validation, and of all steps."""

from __future__ import annotations

from typing import Any

from infinito.training.report.results import phi_report


def make_checkpoint(value: float, steps: int, in_band: int) -> dict[str, Any]:
    validation = {"val/phi": value, "val/phi_share_in_band": value / 10}
    counts = {"steps": steps, "steps_in_band": in_band, "calibration": [2.0, -3.0]}
    return {"phi": {"validation": validation, **counts}}


def test_validation_is_the_best_and_steps_are_the_last_checkpoints() -> None:
    assert phi_report(make_checkpoint(5.0, 3, 3), make_checkpoint(7.0, 8, 2)) == {
        "val/phi": 5.0,
        "val/phi_share_in_band": 0.5,
        "train/phi_share_in_band": 0.25,
        "phi_calibration": [2.0, -3.0],
    }


def test_a_training_without_phi_has_none() -> None:
    assert phi_report({}, {}) == {}


def test_no_step_is_no_division_by_zero() -> None:
    none = make_checkpoint(5.0, 0, 0)
    assert phi_report(none, none)["train/phi_share_in_band"] == 0
