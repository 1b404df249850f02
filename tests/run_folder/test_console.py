"""Warnings stand above a progress bar, and everything else is in the log."""

from __future__ import annotations

import io
import logging
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress

from infinito.run_folder.console import logged_to


def test_a_warning_leaves_no_half_a_bar_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    console = Console(file=screen, force_terminal=True, width=60, color_system=None)
    with logged_to(tmp_path / "run.log"), Progress(console=console, auto_refresh=False) as bar:
        bar.add_task("training", total=2)
        bar.refresh()
        logging.getLogger("infinito.part").warning("the [first] layer is odd")
    before, _, after = screen.getvalue().partition("warning: the [first] layer is odd")
    assert "training" in before
    assert before.endswith("\x1b[2K"), "the bar was erased before the warning was written"
    assert after.startswith("\n")
    assert "the [first] layer is odd" in (tmp_path / "run.log").read_text()
