"""The page of a run: what stands on it, old folders, runs that go on, and what is refused."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from infinito import run as program
from infinito.cli.composition import check
from infinito.config import RunConf
from infinito.errors import CheckpointError, ConfigError
from infinito.pages.run_page import write_page_or_warn, write_run_page
from infinito.paths import conf_dir
from infinito.run_folder.series.event_files import read_events
from infinito.run_folder.series.metrics_file import read_metrics
from infinito.run_folder.series.samples_file import read_samples

Finished = Callable[..., Path]
Configured = Callable[..., RunConf]


def text_of(page: Path) -> str:
    """The page without scripts, styles and tags."""
    html = page.read_text(encoding="utf-8")
    html = re.sub(r"<(script|style|svg).*?</\1>", "", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def test_a_training_leaves_its_page(finished: Finished) -> None:
    run = finished()
    text = text_of(run / "report.html")
    for words in (
        "than a model that counts pairs of tokens",
        "Curves",
        "Validations",
        "Samples over time",
        "step 6",
        "Attention",
        "model.dim 16 128 Width of the hidden states.",
        "Provenance",
        "python -m infinito.run task=generate",
    ):
        assert words in text, words
    html = (run / "report.html").read_text(encoding="utf-8")
    assert "data:image/png;base64," in html
    assert html.count("<svg") >= 6
    assert len(html) < 3 * 2**20


def test_the_page_is_made_anew_by_a_command(finished: Finished, tmp_path: Path) -> None:
    run = finished()
    (run / "report.html").unlink()
    for place in (run, run / "checkpoints/best.ckpt", run / "model"):
        program.execute(check(["task=report", f"checkpoint={place}"], conf_dir()), tmp_path / "r")
        assert (run / "report.html").is_file()
        (run / "report.html").unlink()
    assert not (tmp_path / "r").exists()


def test_an_old_folder_is_read_from_its_event_files(finished: Finished) -> None:
    run = finished()
    columns, samples = read_metrics(run), read_samples(run)
    for name in ("metrics.csv", "samples.jsonl", "attention.png"):
        (run / name).unlink()
    events = read_events(run)
    assert events.columns["step"] == columns["step"]
    assert events.columns["val/loss"] == pytest.approx(
        [value if value is None else pytest.approx(value) for value in columns["val/loss"]]
    )
    assert events.samples == samples
    assert (events.heat_maps or b"").startswith(b"\x89PNG")
    text = text_of(write_run_page(run))
    assert "Samples over time" in text
    assert "Loss nats per token" in text


def test_a_run_that_goes_on_says_how_far_it_is(finished: Finished) -> None:
    run = finished()
    (run / "summary.json").unlink()
    text = text_of(write_run_page(run, drawings=False))
    assert "At step 6: validation loss" in text
    assert "The run had not ended" in text
    assert f"resume={run}" in text
    (run / "metrics.csv").unlink()
    for path in run.glob("events*"):
        path.unlink()
    assert "has not logged anything yet" in text_of(write_run_page(run))


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is no run folder, and lies in none"):
        program.execute(check(["task=report", "checkpoint=/nowhere"], conf_dir()), tmp_path / "r")


def test_a_run_of_a_task_without_a_page_is_refused(finished: Finished) -> None:
    run = finished()
    path = run / "config.yaml"
    path.write_text(path.read_text().replace("task: train", "task: doctor"))
    with pytest.raises(ConfigError, match="`task=doctor`, which has no page"):
        write_run_page(run)


def test_damaged_results_are_named(finished: Finished) -> None:
    run = finished()
    (run / "summary.json").write_text('{"steps": "many"}')
    with pytest.raises(CheckpointError, match="its results are not those of `task=train`"):
        write_run_page(run)
    (run / "summary.json").write_text("[]")
    with pytest.raises(CheckpointError, match="expected names and values"):
        write_run_page(run)


def test_a_fault_of_the_page_is_a_warning_of_the_run(
    finished: Finished, caplog: pytest.LogCaptureFixture
) -> None:
    run = finished()
    (run / "summary.json").write_text("{")
    with caplog.at_level(logging.WARNING, logger="infinito"):
        assert write_page_or_warn(run) is None
    assert "report.html was not written: CheckpointError" in caplog.text


def test_an_evaluation_has_a_page_and_its_run_links_to_it(
    finished: Finished, reading: Configured
) -> None:
    run = finished()
    program.execute(reading("task=evaluate", f"checkpoint={run}"), run / "evaluation_valid")
    program.execute(reading("task=analyze", f"checkpoint={run}"), run / "attention_valid")
    evaluated = text_of(run / "evaluation_valid/report.html")
    assert "nats per token on the valid split" in evaluated
    assert read_metrics(run / "evaluation_valid")["step"] == [6]
    assert "Entropy" in text_of(run / "attention_valid/report.html")
    html = (run / "report.html").read_text(encoding="utf-8")
    assert 'href="evaluation_valid/report.html"' in html
    shutil.rmtree(run / "evaluation_valid")
