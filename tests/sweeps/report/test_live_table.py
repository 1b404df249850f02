"""What a sweep shows while it runs."""

from __future__ import annotations

import io
import shlex
from pathlib import Path

import pytest
from rich.console import Console

from infinito.search.search import Search
from infinito.search.space.space import Float, Space
from infinito.sweeps.record.journal import Journal
from infinito.sweeps.report.live_table import SweepTable, heading, time_left_s, typed
from infinito.sweeps.sweep import Limits, Sweep

SPACE = Space([Float("x", 0.0, 1.0)])


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    """Four trials of ten: 1.5, failed, 0.5, running; 2 s each, two at once."""
    search = Search(SPACE)
    search.ask(4)
    search.tell(0, 1.5)
    search.tell(1, error="[boom]")
    search.tell(2, 0.5)
    with Journal(tmp_path / "journal.jsonl") as journal:
        made = Sweep(search, journal, lambda _: None, Limits(10, n_jobs=2))
    made.seconds = {0: 1.0, 1: 3.0, 2: 2.0}
    made.launched = [search.trials[3]]
    return made


def test_time_left_by_hand(sweep: Sweep) -> None:
    """7 trials are left, in 4 rounds of two, of 2 s each."""
    assert time_left_s(sweep) == pytest.approx(8.0)
    assert heading(sweep).startswith("3 of 10 trials, 1 running, 1 failed, 0:00 gone, about 0:08")
    sweep.seconds = {}
    assert time_left_s(sweep) is None


def test_table_shows_the_best_the_failed_and_the_running(sweep: Sweep, tmp_path: Path) -> None:
    with SweepTable(sweep.limits, SPACE, tmp_path) as table:
        output = io.StringIO()
        Console(file=output, width=200).print(table.drawn(sweep))
    lines = output.getvalue().splitlines()
    assert lines[2].split()[:3] == ["2", "best", "0.5"]
    assert any("failed: [boom]" in line for line in lines)
    assert lines[-1].split()[:2] == ["3", "…"]


def test_without_a_terminal_each_trial_is_told_once(
    sweep: Sweep, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with SweepTable(sweep.limits, SPACE, tmp_path) as table:
        table.show(sweep)
        table.show(sweep)
    printed = capsys.readouterr().out
    assert printed.count("trial 0: 1.5") == 1
    assert "trial 1: failed: [boom]" in printed
    assert "trial 3" not in printed


def test_an_interrupted_sweep_tells_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(KeyboardInterrupt), SweepTable(Limits(3), SPACE, tmp_path):
        raise KeyboardInterrupt
    assert f"hydra.sweeper.resume={tmp_path}" in capsys.readouterr().out


def test_the_best_can_be_typed() -> None:
    params = {"optimizer.lr": 0.00012345678901, "data.batch_size": 1024, "tie": True, "seed": None}
    words = shlex.split(typed({**params, "dpo.loss": "[cdpo]"}))
    assert words == [
        "optimizer.lr=0.00012345678901",
        "data.batch_size=1024",
        "tie=true",
        "seed=null",
        "dpo.loss=[cdpo]",
    ]
