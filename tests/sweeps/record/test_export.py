"""Trials as tables and as an Optuna study."""

from __future__ import annotations

from pathlib import Path

import pytest

from infinito.search.space.space import Categorical, Float, Int, Space
from infinito.search.trials import Trial
from infinito.sweeps.record.export import earlier_trials, to_optuna, write_csv

SPACE = Space(
    [
        Float("lr", 1e-4, 1e-1, log=True),
        Int("n", 1, 9, step=2),
        Categorical("kind", ["a,b", True, None, 3, 1e-3]),
    ]
)
TRIALS = [
    Trial(0, {"lr": 0.1 / 3, "n": 3, "kind": "a,b"}, (0.1 + 0.2,), "finished"),
    Trial(1, {"lr": 1e-4, "n": 9, "kind": None}, None, "failed", "boom,\n2"),
    Trial(2, {"lr": 1e-3, "n": 1, "kind": 3}, (-1.0,), "finished"),
    Trial(4, {"lr": 1e-3, "n": 1, "kind": None}, (2.0,), "finished"),
    Trial(3, {"lr": 1e-2, "n": 1, "kind": True}),
]


def test_a_table_is_read_back_as_it_was(tmp_path: Path) -> None:
    write_csv(tmp_path / "trials.csv", TRIALS, SPACE, 1, {0: 2.5})
    back, unused = earlier_trials(tmp_path / "trials.csv", SPACE, ["minimize"])
    assert unused == 0
    finished = [trial for trial in TRIALS if trial.state == "finished"]
    assert [(t.params, t.values) for t in back] == [(t.params, t.values) for t in finished]


def test_a_table_by_hand(tmp_path: Path) -> None:
    """Numbers and truths in other spellings are read; nan is no score; 2 is no n, `b` no kind."""
    table = tmp_path / "by_hand.csv"
    table.write_text(
        "lr,n,kind,value\n1e-2,1,true,1\n1e-2,3,1E-3,2\n1e-2,5,NULL,3\n"
        "1e-2,1,true,nan\n1e-2,1,true,inf\n1e-2,2,true,4\n1e-2,1,b,5\n"
    )
    found, unused = earlier_trials(table, SPACE, ["minimize"])
    kinds = [(trial.params["kind"], trial.values) for trial in found]
    assert kinds == [(True, (1.0,)), (0.001, (2.0,)), (None, (3.0,))]
    assert unused == 2


def test_optuna_study() -> None:
    optuna = pytest.importorskip("optuna", reason="optuna is not installed")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = to_optuna(TRIALS, SPACE, ["maximize"])
    assert study.best_params == TRIALS[3].params
    assert [trial.state.name for trial in study.trials] == [
        "COMPLETE",
        "FAIL",
        "COMPLETE",
        "COMPLETE",
    ]
    assert study.trials[1].user_attrs == {"error": "boom,\n2"}
