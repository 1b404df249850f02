"""How a tuning ends: failed, no better, or learned; a point, a table, a dry run."""

from __future__ import annotations

import json
import math
import runpy
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from infinito.config import RunConf
from infinito.errors import NonFiniteError
from infinito.preferences.objective.weighted_losses import PreferenceObjective
from infinito.preferences.report.document import load_schema
from infinito.tasks import dpo
from tests.conftest import ROOT
from tests.tasks.dpo.conftest import Tune


def test_a_run_that_fails_says_so_in_its_report(
    tune: Tune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PreferenceObjective, "__call__", lambda _, pairs: pairs.chosen * math.nan)
    with pytest.raises(NonFiniteError, match="the loss is nan on the pairs of rows"):
        tune()
    report = json.loads((tmp_path / "run/training_report.json").read_text())
    jsonschema.validate(report, load_schema())
    assert report["status"] == "failed"
    assert "the loss is nan" in report["reason"]
    assert report["held_out"] is None
    assert (tmp_path / "run/batch_not_finite_rank0.json").is_file()
    assert not (tmp_path / "run/model").exists()


def test_a_run_that_fails_is_in_the_table_of_its_sweep(
    tune: Tune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PreferenceObjective, "__call__", lambda _, pairs: pairs.chosen * math.nan)
    with pytest.raises(NonFiniteError, match="the loss is nan"):
        tune(folder="sweep/0")
    line = (tmp_path / "sweep/comparison.md").read_text().splitlines()[2]
    assert line.startswith("| 0 | 0 | sigmoid | 0.1 |")
    assert line.endswith("| – | – | – | failed |")


def test_a_point_is_a_whole_optimizer_step(tune: Tune) -> None:
    """Two batches of two pairs make a step: 8 pairs in 2 epochs are 4 steps and 4 points."""
    report = tune("trainer.accumulate=2", "data.batch_size=2", "trainer.log_every=1")
    assert report["steps"] == 4
    assert [each["step"] for each in report["history"] if "train/loss" in each] == [1, 2, 3, 4]


def test_nothing_learned_is_no_improvement(tune: Tune) -> None:
    report = tune("optimizer.lr=1e-12")
    assert report["status"] == "no_improvement"


def test_a_sweep_is_compared_in_a_table(tune: Tune, tmp_path: Path) -> None:
    for number, beta in enumerate((0.1, 0.5)):
        tune(f"dpo.beta={beta}", folder=f"sweep/{number}")
    lines = (tmp_path / "sweep/comparison.md").read_text().splitlines()
    assert lines[0].startswith("| run | seed | loss | beta | learning_rate |")
    assert sorted(line.split("|")[4].strip() for line in lines[2:]) == ["0.1", "0.5"]


def test_a_dry_run_writes_nothing(
    small: Callable[..., RunConf], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dpo.run(small("dry_run=true"), tmp_path / "none", []) is None
    assert not (tmp_path / "none").exists()
    assert "8 of the pairs that ship with infinito" in capsys.readouterr().out.replace("\n", " ")


@pytest.mark.slow
def test_a_preference_that_can_be_learnt_is_learnt(tune: Tune, tmp_path: Path) -> None:
    """Colour words over others of equal length: 128 pairs to train on, 32 unseen prompts."""
    colours = runpy.run_path(str(ROOT / "experiments/dpo_learning/colours.py"))
    training, held_out = colours["write"](tmp_path / "pairs")
    report = tune(
        f"data.path={training}",
        f"data.held_out_path={held_out}",
        *("data.chat=false", "data.batch_size=16", "data.block_size=64", "tokenizer=char"),
        *("model.dim=128", "model.layers=2", "attention.heads=4"),
        *("dpo.warmup_steps=150", "dpo.answers=0", "trainer.epochs=12"),
    )
    after = report["held_out"]["after"]
    assert report["held_out"]["before"]["raw_accuracy"]["share"] < 0.7
    assert after["accuracy"]["share"] >= 0.95
    assert after["raw_accuracy"]["share"] >= 0.9
    assert report["status"] == "ok"
    assert report["held_out"]["baselines"]["longer_wins"]["share"] == 0.5
