"""The results that a sweep leaves in its folder."""

from __future__ import annotations

from pathlib import Path

from omegaconf import OmegaConf

from infinito.search.search import Search
from infinito.sweeps.record.tables import summarise_results, write_results
from tests.sweeps.record.test_warm_start import SPACE, TRIALS


def test_results_have_the_usual_shape(tmp_path: Path) -> None:
    write_results(tmp_path, Search(SPACE, trials=TRIALS), {0: 2.5})
    assert OmegaConf.load(tmp_path / "optimization_results.yaml") == {
        "name": "infinito_mcts",
        "trials": 5,
        "finished": 3,
        "failed": 1,
        "best_params": {"lr": 1e-3, "n": 1, "kind": 3},
        "best_value": -1.0,
    }
    lines = (tmp_path / "trials.csv").read_text().splitlines()
    assert lines[0] == "number,state,value,lr,n,kind,seconds,error"
    assert lines[1] == '0,finished,0.30000000000000004,0.03333333333333333,3,"a,b",2.5,'


def test_a_sweep_without_a_result_has_no_best() -> None:
    results = summarise_results(Search(SPACE))
    assert (results["trials"], results["best_params"], results["best_value"]) == (0, None, None)
