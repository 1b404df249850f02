"""Bad trials stop, good ones and first ones go on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from infinito import run as program
from infinito.config import RunConf
from infinito.search.space.space import Float, Space
from infinito.sweeps.record import history
from infinito.sweeps.record.journal import Journal
from infinito.sweeps.record.plan import make_search
from infinito.training.callbacks.trial_stopping import FILE, TrialStopping, is_bad, read_losses

OTHERS = {number: {10: float(number), 20: number / 2} for number in range(1, 6)}
"""At 10 batches 1 2 3 4 5, at 20 half of that."""


@pytest.mark.parametrize(
    ("best", "done", "bad"), [(2.9, 10, False), (3.1, 10, True), (1.4, 20, False), (1.6, 20, True)]
)
def test_median_by_hand(best: float, done: int, bad: bool) -> None:
    assert is_bad("median", done // 10, best, done, OTHERS) == bad


@pytest.mark.parametrize(("best", "bad"), [(0.5, False), (1.5, False), (2.5, True), (9.0, True)])
def test_halving_keeps_the_best_third_of_six(best: float, bad: bool) -> None:
    assert is_bad("halving", 1, best, 10, OTHERS) == bad
    assert not is_bad("halving", 2, best, 20, OTHERS)  # no rung


def test_rungs_are_three_times_apart() -> None:
    assert [rung for rung in range(1, 30) if is_bad("halving", rung, 9.0, 10, OTHERS)] == [
        1,
        3,
        9,
        27,
    ]


def test_nobody_is_judged_by_few_others() -> None:
    few = dict(list(OTHERS.items())[:4])
    assert not is_bad("median", 1, 9.0, 10, few)
    assert not is_bad("median", 3, 9.0, 30, OTHERS)


def test_a_line_being_written_is_left_out(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("10 2.5\n20 1.")
    assert read_losses(tmp_path) == {10: 2.5}


def siblings(sweep: Path, loss: float) -> None:
    for number in range(5):
        (sweep / str(number)).mkdir(parents=True)
        (sweep / str(number) / FILE).write_text(f"2 {loss}\n")


def test_a_trial_that_was_launched_again_counts_once(tmp_path: Path) -> None:
    siblings(tmp_path, 1.0)
    (tmp_path / "3.1").mkdir()
    (tmp_path / "3.1" / FILE).write_text("2 1.0\n")
    os.utime(tmp_path / "3" / FILE, (0, 0))
    (tmp_path / "5.1").mkdir()
    found = TrialStopping(tmp_path / "5.1", "median", 2)._siblings()
    assert {path.name for _, path in found} == {"0", "1", "2", "3.1", "4"}


def test_a_trial_is_compared_with_its_region_of_the_tree(tmp_path: Path) -> None:
    """Trials of x below 0.5 are bad, those above good; the tree separates them."""
    plan = {
        "space": Space([Float("x", 0.0, 1.0)]).to_dict(),
        "directions": ["minimize"],
        "defaults": [],
        "seed": 0,
        "strategy": "random",
        "selection": "ucb1",
        "exploration": 1.0,
        "max_depth": 1,
    }
    search = make_search(plan)
    with Journal(tmp_path / "journal.jsonl") as journal:
        journal.append(history.make_begin_event(plan))
        for trial in search.ask(40):
            journal.append(history.make_ask_event([trial]))
            value = float(trial.params["x"] < 0.5) + 0.1 * trial.params["x"]
            event = {"event": "finish", "number": trial.number, "seconds": 0.1, "values": [value]}
            journal.append(event)
        journal.append(history.make_ask_event(search.ask(1)))
        last = search.trials[-1]
    others = {str(number): {2: 1.0} for number in range(40)}
    stopping = TrialStopping(tmp_path / "40", "median", 2)
    near = stopping._near(others, 2)
    low = last.params["x"] < 0.5
    region = [each for each in search.trials[:40] if (each.params["x"] < 0.5) == low]
    assert near.keys() == {str(each.number) for each in region}
    assert stopping._near(others, 4) == others


@pytest.mark.parametrize("rule", ["median", "halving"])
def test_a_bad_trial_ends_at_its_first_validation(
    configured: Callable[..., RunConf], tmp_path: Path, rule: str
) -> None:
    siblings(tmp_path / "sweep", 0.001)
    run = configured("task=trial", f"trainer.stop_bad={rule}", "trainer.validate_every=2")
    program.execute(run, tmp_path / "sweep/5")
    summary = json.loads((tmp_path / "sweep/5/summary.json").read_text())
    assert (summary["steps"], summary["stopped_early"]) == (2, True)


def test_a_good_trial_is_as_if_it_were_not_watched(
    configured: Callable[..., RunConf], tmp_path: Path
) -> None:
    siblings(tmp_path / "sweep", 1000.0)
    program.execute(configured("task=trial"), tmp_path / "alone/5")
    run = configured("task=trial", "trainer.stop_bad=median", "trainer.validate_every=2")
    program.execute(run, tmp_path / "sweep/5")
    alone, watched = (
        json.loads((tmp_path / name / "5/summary.json").read_text()) for name in ("alone", "sweep")
    )
    assert watched["val/loss"] == alone["val/loss"]
    assert (watched["steps"], watched["stopped_early"]) == (6, False)
    assert sorted(read_losses(tmp_path / "sweep/5")) == [2, 4]
