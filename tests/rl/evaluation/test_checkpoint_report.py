"""A schedule's report: its checkpoints in order, its progress, and refusals."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from infinito.rl.evaluation.checkpoint_report import (
    list_checkpoints,
    print_checkpoints,
    read_progress,
)


def test_the_best_checkpoint_comes_first_then_the_kept_ones_then_the_last(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    for name in ("last", "step_000000900", "best", "step_000000100", "other"):
        (tmp_path / f"checkpoints/{name}.ckpt").touch()
    names = [path.stem for path in list_checkpoints(tmp_path)]
    assert names == ["best", "step_000000100", "step_000000900", "last"]
    assert list_checkpoints(tmp_path / "absent") == []


def test_the_table_fits_80_columns() -> None:
    interval = {"mean": -1.234567, "low": -10.98, "high": 0.5}
    row = {"policy": "step_000100000", "timesteps": 100_000, "return": interval, "excess": interval}
    row |= {"train_gap": -0.1234, "train_gap_p": 0.36}
    file = io.StringIO()
    print_checkpoints(Console(file=file, width=80), [row], "static MIXED", 100)
    lines = file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    expected = ["kept", "100,000", "-1.23", "-1.23", "[-10.98,", "+0.50]", "-0.12", "(p", "0.36)"]
    assert lines[-1].split() == [*expected, "no", "difference"]


def test_a_run_that_has_logged_nothing_yet_is_at_step_0(tmp_path: Path) -> None:
    assert read_progress(tmp_path, 2048) == {"steps": "0 of 2,048"}
