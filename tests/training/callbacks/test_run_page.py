"""The page of a run while it trains: written at validations, never at the cost of the training."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infinito.training.callbacks import run_page
from infinito.training.callbacks.run_page import RunPage

Trained = Callable[..., Path]


def validate(callback: RunPage, rank: int = 0) -> None:
    trainer: Any = SimpleNamespace(is_global_zero=rank == 0)
    callback.on_validation_end(trainer, None)  # type: ignore[arg-type]


def test_only_the_first_process_writes_and_dear_pages_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s, written = [1000.0], []

    def write(folder: Path, *, drawings: bool) -> None:
        assert (folder, drawings) == (tmp_path, False)
        written.append(now_s[0])
        now_s[0] += 2.0

    monkeypatch.setattr(run_page, "write_page_or_warn", write)
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    callback = RunPage(tmp_path)
    validate(callback, rank=1)
    assert written == []
    for _ in range(30):
        validate(callback)
        now_s[0] += 10.0
    assert written == [1000.0, 1202.0]


def test_a_training_has_a_page_before_its_end(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []
    original = RunPage.on_validation_end

    def hooked(self: RunPage, *arguments: Any) -> None:
        original(self, *arguments)
        seen.append((self.folder / "report.html").read_text(encoding="utf-8"))

    monkeypatch.setattr(RunPage, "on_validation_end", hooked)
    with caplog.at_level(logging.WARNING, logger="infinito"):
        run = trained()
    assert "At step 3: validation loss" in seen[0]
    assert "The run had not ended" in seen[0]
    assert (run / "attention.png").is_file()
    assert "The run had not ended" not in (run / "report.html").read_text(encoding="utf-8")
    assert "was not written" not in caplog.text


def test_a_page_that_cannot_be_written_does_not_end_a_training(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from infinito.pages import run_page as pages

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(pages, "write_page", fail)
    run = trained()
    assert (run / "summary.json").is_file()
    assert "report.html was not written: OSError: no space left" in capfd.readouterr().err
