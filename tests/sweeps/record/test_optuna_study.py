"""A sweep as an Optuna study, exported as often as one likes."""

from __future__ import annotations

from pathlib import Path

import pytest

from infinito.errors import ResumeError
from infinito.search.search import Search
from infinito.sweeps.record.optuna_study import export_study, make_study
from tests.sweeps.record.test_warm_start import SPACE, TRIALS
from tests.sweeps.report.test_page import sweep

optuna = pytest.importorskip("optuna", reason="optuna is not installed")


def test_a_study_has_the_ended_trials() -> None:
    study = make_study(Search(SPACE, trials=TRIALS, directions=["maximize"]))
    assert study.best_params == TRIALS[3].params
    assert [trial.state.name for trial in study.trials] == [
        "COMPLETE",
        "FAIL",
        "COMPLETE",
        "COMPLETE",
    ]
    assert study.trials[1].user_attrs == {"number": 1, "error": "boom,\n2"}


def test_an_export_can_be_repeated(tmp_path: Path) -> None:
    folder = sweep(tmp_path / "sweep one", 6)
    for _ in range(2):
        target = export_study(folder)
    study = optuna.load_study(study_name="sweep one", storage=f"sqlite:///{target}")
    assert len(study.trials) == 6
    assert study.best_value == min(trial.value for trial in study.trials if trial.value is not None)
    assert [path.name for path in folder.glob("optuna*")] == ["optuna.db"]


def test_a_folder_without_a_sweep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResumeError, match="cannot be read"):
        export_study(tmp_path)
    assert not list(tmp_path.iterdir())
