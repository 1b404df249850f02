"""Overrides reach the stages that they are meant for, and a stage that fails says how to go on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infinito.cli.composition import check
from infinito.errors import ConfigError, InfinitoError
from infinito.paths import conf_dir
from infinito.pipeline.stages import Stage, list_inherited, list_own, read_cost, run_stage

PIPELINE = "+experiment=chat_from_scratch"


def test_overrides_are_for_one_stage() -> None:
    given = "stage_overrides=['sft:trainer.max_steps=2','dpo:dpo.beta=0.5']"
    conf = check([PIPELINE, given], conf_dir())
    assert list_own(conf, "sft") == ["trainer.max_steps=2"]
    assert list_own(conf, "dpo") == ["dpo.beta=0.5"]
    assert list_own(conf, "pretrain") == []


@pytest.mark.parametrize("given", ["stf:a=1", "sft", "sft:a"])
def test_an_override_of_no_stage_is_refused(given: str) -> None:
    with pytest.raises(ConfigError, match=r"expected an override after the name of a stage"):
        check([PIPELINE, f"stage_overrides=['{given}']"], conf_dir())


def test_stages_compute_as_the_pipeline_says() -> None:
    conf = check([PIPELINE, "seed=3", "trainer.threads=1", "data.cache_dir=c"], conf_dir())
    assert {"seed=3", "trainer.threads=1", "data.cache_dir=c"} <= set(list_inherited(conf))


def test_a_stage_that_fails_says_how_to_go_on(tmp_path: Path) -> None:
    stage = Stage("sft", "no_such_experiment", tmp_path / "sft")
    with pytest.raises(InfinitoError, match=rf"the stage sft stopped .*`resume={tmp_path}`"):
        run_stage(stage, [])
    cost = read_cost(stage)
    assert cost.minutes > 0
    assert cost.cpu_minutes > 0


def test_a_finished_stage_is_not_run_again(tmp_path: Path) -> None:
    stage = Stage("sft", "no_such_experiment", tmp_path / "sft")
    stage.folder.mkdir()
    (stage.folder / "summary.json").write_text(json.dumps({}))
    run_stage(stage, [])
    assert read_cost(stage).minutes == 0
