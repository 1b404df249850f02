"""What a sweep shows while it runs."""

from __future__ import annotations

import io
import shlex
from pathlib import Path

import pytest
from rich.console import Console

from infinito.search.search import Search
from infinito.search.space.space import Float, Space
from infinito.sweeps.driving.sweep import Sweep
from infinito.sweeps.launching.launches import Limits
from infinito.sweeps.record.journal import Journal
from infinito.sweeps.report.live_table import (
    SweepTable,
    estimate_time_left_s,
    format_command,
    format_heading,
    shorten_names,
)

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
    assert estimate_time_left_s(sweep) == pytest.approx(8.0)
    assert format_heading(sweep).startswith(
        "trial 3 of 10, about 0:08 left; 1 running, 1 failed, 0:00 gone"
    )
    sweep.seconds = {}
    assert estimate_time_left_s(sweep) is None


def test_confirmations_are_counted_apart(sweep: Sweep) -> None:
    """The best with four fresh seeds: three trainings are left, in two rounds."""
    sweep.search.tell(3, 2.5)
    for trial in sweep.search.confirm(4):
        sweep.launched = [trial]
    sweep.search.tell(4, 0.5)
    assert estimate_time_left_s(sweep) == pytest.approx(4.0)
    assert format_heading(sweep).startswith("confirmation 1 of 4, about 0:04 left; 1 running")


def test_table_shows_the_best_the_failed_and_the_running(sweep: Sweep) -> None:
    with SweepTable(sweep) as table:
        output = io.StringIO()
        Console(file=output, width=200).print(table.draw())
    lines = output.getvalue().splitlines()
    assert lines[3].split()[:3] == ["2", "best", "0.5"]
    assert any("failed: [boom]" in line for line in lines)
    assert lines[-1].split()[:2] == ["3", "…"]


def test_a_narrow_terminal_shows_counts_and_folder_whole(sweep: Sweep) -> None:
    output = io.StringIO()
    Console(file=output, width=60).print(SweepTable(sweep).draw())
    lines = output.getvalue().splitlines()
    assert lines[0].startswith("trial 3 of 10, about 0:08 left")
    assert str(sweep.folder) in "".join(lines).replace(" ", "")


def test_columns_have_the_shortest_names_that_tell_them_apart() -> None:
    names = ["attention.scale", "attention.heads", "rl.lr", "optimizer.lr", "lr", "seed"]
    assert shorten_names(names) == ["scale", "heads", "rl.lr", "optimizer.lr", "lr", "seed"]


def test_a_sweep_ends_with_its_best_and_the_next_step(
    sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    SweepTable(sweep).say_next()
    printed = capsys.readouterr().out
    assert f"best: trial 2 with 0.5\n  x={sweep.search.trials[2].params['x']}\n" in printed
    assert f"hydra.sweeper.resume={sweep.folder} hydra.sweeper.n_trials=20" in printed
    assert f"tensorboard --logdir {sweep.folder}" in printed


def test_without_a_terminal_each_trial_is_told_once(
    sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    with SweepTable(sweep) as table:
        table.show()
        table.show()
    printed = capsys.readouterr().out
    assert printed.count("trial 0: 1.5") == 1
    assert "(3 of 10, about 0:08 left)" in printed
    assert "trial 1: failed: [boom]" in printed
    assert "trial 3" not in printed


def test_an_interrupted_sweep_tells_how_to_go_on(
    sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(KeyboardInterrupt), SweepTable(sweep):
        raise KeyboardInterrupt
    assert f"hydra.sweeper.resume={sweep.folder}" in capsys.readouterr().out


def test_the_best_can_be_typed() -> None:
    params = {"optimizer.lr": 0.00012345678901, "data.batch_size": 1024, "tie": True, "seed": None}
    words = shlex.split(format_command({**params, "dpo.loss": "[cdpo]"}))
    assert words == [
        "optimizer.lr=0.00012345678901",
        "data.batch_size=1024",
        "tie=true",
        "seed=null",
        "dpo.loss=[cdpo]",
    ]
