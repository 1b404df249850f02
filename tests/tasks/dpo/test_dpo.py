"""The whole pipeline: it runs offline, repeats itself, resumes, and exports."""

from __future__ import annotations

import json
import math
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from rich.console import Console

from infinito import run as program
from infinito.cli.composition import check
from infinito.config import RunConf
from infinito.models.trained import open_trained
from infinito.paths import conf_dir
from infinito.preferences.dpo_module import DpoPolicyTask
from infinito.preferences.report.document import TIMING, load_schema
from infinito.preferences.report.screen import print_outcome
from tests.equal_metrics import figures_of
from tests.tasks.dpo.conftest import Tune, report_in


@pytest.fixture(scope="module")
def usual(small: Callable[..., RunConf], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run without further overrides, made where every connection is an error."""

    def refuse(*arguments: object, **_: object) -> None:
        raise AssertionError(f"the network was touched: {arguments}")

    folder = tmp_path_factory.mktemp("usual") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        patch.setattr(socket, "getaddrinfo", refuse)
        program.execute(small(), folder)
    return folder


def without_timing(report: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in report.items() if key != TIMING}


def test_from_pairs_to_report_without_a_network(usual: Path) -> None:
    report = report_in(usual)
    jsonschema.validate(report, load_schema())
    assert report["status"] in ("ok", "no_improvement")
    assert (report["samples"], report["held_out_samples"], report["epochs"]) == (8, 8, 2)
    assert report["steps"] == 4
    assert report["initial_loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert report["held_out"]["before"]["ties"] == 8
    assert len(report["answers"]) == 2
    assert set(report["held_out"]["by_category"]) == {
        "helpfulness",
        "accuracy",
        "reasoning",
        "safety",
    }
    run = usual
    assert {path.stem for path in (run / "plots").iterdir()} == {
        "loss",
        "margins",
        "accuracies",
        "log_probabilities",
    }
    text = (run / "training_report.md").read_text()
    assert text.startswith(f"# Preference tuning: {report['status']}")
    summary = json.loads((run / "summary.json").read_text())
    assert summary["held_out/margin"] == report["held_out"]["after"]["margin"]["mean"]
    card = (run / "model/README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers")
    assert f"**{report['status']}**" in card
    assert list(run.glob("events.out.tfevents.*"))


def test_brackets_of_a_prompt_are_printed_as_they_stand(
    usual: Path, small: Callable[..., RunConf], capsys: pytest.CaptureFixture[str]
) -> None:
    report = report_in(usual)
    report["answers"][0]["prompt"] = "What does [/b] close, and [red]?"
    print_outcome(Console(), usual, report, small())
    assert "What does [/b] close, and [red]?" in capsys.readouterr().out


def test_equal_seeds_make_equal_reports_and_other_seeds_others(usual: Path, tune: Tune) -> None:
    first, second = report_in(usual), tune(folder="b")
    assert without_timing(first) == without_timing(second)
    assert first[TIMING] != second[TIMING]
    other = tune("seed=1", folder="c")
    assert other["history"] != first["history"]


def test_runs_with_the_same_start_share_the_reference(usual: Path, tune: Tune) -> None:
    """Other β, loss, rate, length and folder: 16 pairs computed once, then none."""
    assert report_in(usual)[TIMING]["reference_pairs_computed"] == 16
    others = ("dpo.beta=0.5", "dpo.loss=ipo", "optimizer.lr=1e-5", "trainer.epochs=1")
    assert tune(*others)[TIMING]["reference_pairs_computed"] == 0


@pytest.mark.parametrize("reference", ["copy", "free"])
def test_references_that_are_not_precomputed(usual: Path, tune: Tune, reference: str) -> None:
    """A copy trains as the precomputed one does; without a reference the margins are others."""
    report, precomputed = tune(f"dpo.reference={reference}"), report_in(usual)
    same = report["held_out"]["after"]["margin"] == pytest.approx(
        precomputed["held_out"]["after"]["margin"], abs=1e-6
    )
    assert same == (reference == "copy")
    assert any("displacement/kl_chosen" in each for each in report["history"]) == (
        reference == "copy"
    )
    moved = report["held_out"]["displacement"]["chosen_change_nats"]
    change = [report["held_out"][when]["logp_chosen"] for when in ("before", "after")]
    assert moved == pytest.approx(change[1] - change[0], abs=1e-4)


def test_a_resumed_run_ends_as_an_undisturbed_one(
    usual: Path, small: Callable[..., RunConf], tmp_path: Path
) -> None:
    """Stopped after the third of four batches, in the middle of the second epoch."""
    stopped = small("trainer.checkpoint_every=3")

    class Stop(Exception):
        pass

    step = DpoPolicyTask.training_step

    def stopping(self: DpoPolicyTask, batch: Any, batch_idx: int) -> Any:
        if batch_idx == 3:
            raise Stop
        return step(self, batch, batch_idx)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DpoPolicyTask, "training_step", stopping)
        with pytest.raises(Stop):
            program.execute(stopped, tmp_path / "halves")
    resumed = check([f"resume={tmp_path / 'halves'}"], conf_dir())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "infinito.preferences.assembly.warm_up_on", None
        )  # start/ is what it starts from
        patch.setattr("infinito.preferences.assembly.build_tokenizer", None)  # start/ has it, too
        program.execute(resumed, tmp_path / "halves")
    again = json.loads((tmp_path / "halves/training_report.json").read_text())
    assert without_timing(again) == without_timing(report_in(usual))
    assert figures_of(tmp_path / "halves") == figures_of(usual)
    html = (usual / "report.html").read_text(encoding="utf-8")
    assert "Answers to held-out prompts" in html
    assert f"{again['status']}: the held-out margin changed by" in html


def test_the_exported_policy_is_the_tuned_one(usual: Path, tmp_path: Path) -> None:
    """What score_pairs says of the exported folder is what the report says."""
    report, run = report_in(usual), usual
    scored = check(
        [
            "task=score_pairs",
            "data=pairs",
            "data.block_size=200",
            f"checkpoint={run / 'model'}",
            f"dpo.reference_checkpoint={run / 'start'}",
            "trainer.accelerator=cpu",
        ],
        conf_dir(),
    )
    accuracy = program.execute(scored, tmp_path / "scores")
    found = json.loads((tmp_path / "scores/pair_scores.json").read_text())
    after = report["held_out"]["after"]
    assert accuracy == after["accuracy"]["share"]
    assert found["overall"]["margin"]["mean"] == pytest.approx(after["margin"]["mean"], abs=1e-6)
    assert len(found["pairs"]) == 8
    exported, opened = (open_trained(str(path)).model.state_dict() for path in (run / "model", run))
    assert all(torch.equal(value, opened[name]) for name, value in exported.items())
    assert len(json.loads((run / "provenance.json").read_text())["data"]["held_out"]) == 3
