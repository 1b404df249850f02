"""The report of a sweep: complete, self-contained, harmless."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infinito.errors import ResumeError
from infinito.search.space.space import Categorical, Float, Int, Space
from infinito.sweeps.record import history
from infinito.sweeps.record.journal import Journal
from infinito.sweeps.record.plan import make_search, reopen
from infinito.sweeps.report.board import TrialBoard
from infinito.sweeps.report.figures import list_ticks, plot_tree
from infinito.sweeps.report.page import write_report

SPACE = Space(
    [Float("lr", 1e-4, 1e-1, log=True), Int("n", 1, 9), Categorical("kind", ["good", "<b>bad"])]
)


def sweep(folder: Path, trials: int, directions: tuple[str, ...] = ("minimize",)) -> Path:
    """A sweep's folder as the sweeper leaves it; trial 1 has failed."""
    plan: dict[str, Any] = {
        "space": SPACE.to_dict(),
        "directions": directions,
        "defaults": [],
        "seed": 0,
        "strategy": "random",
        "selection": "ucb1",
        "exploration": 1.0,
        "max_depth": 15,
    }
    search = make_search(plan)
    with Journal(folder / "journal.jsonl") as journal:
        journal.append(history.make_begin_event(plan))
        for trial in search.ask(trials):
            number, params = trial.number, trial.params
            values = [params["n"] + params["lr"], -params["n"]][: len(directions)]
            journal.append(history.make_ask_event([trial]))
            end = {"number": number, "seconds": 0.5}
            if number == 1:
                journal.append({"event": "fail", **end, "error": "<script>alert(1)</script>"})
            else:
                journal.append({"event": "finish", **end, "values": values})
    return folder


def test_one_page_with_all_pictures_and_trials(tmp_path: Path) -> None:
    folder = sweep(tmp_path / "sweep", 20)
    page = write_report(folder).read_text(encoding="utf-8")
    assert page.count("data:image/svg+xml;base64,") == 5
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "19 of 20 trials finished, 1 failed; the best is trial" in page
    assert page.count('<tr class="finished">') == 18
    assert page.count('<tr class="best">') == 1
    names = {path.name for path in (folder / "pictures").iterdir()}
    assert {"tree.png", "tree.svg", "best_so_far.png", "importances.svg", "slices.png"} <= names


def test_what_trials_say_is_text_not_markup(tmp_path: Path) -> None:
    page = write_report(sweep(tmp_path / "sweep", 5)).read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "<b>bad" not in page


@pytest.mark.parametrize("trials", [0, 1, 2, 3])
def test_few_trials_have_a_report_too(tmp_path: Path, trials: int) -> None:
    page = write_report(sweep(tmp_path / "sweep", trials)).read_text(encoding="utf-8")
    assert f"of {trials} trials finished" in page


def test_several_objectives_have_a_front(tmp_path: Path) -> None:
    folder = sweep(tmp_path / "sweep", 12, ("minimize", "minimize"))
    assert "on the Pareto front" in write_report(folder).read_text(encoding="utf-8")
    assert (folder / "pictures/pareto_front.png").is_file()


def test_the_better_region_is_darker() -> None:
    leaf: dict[str, Any] = {"visits": 9, "depth": 1, "split": None, "children": []}
    leaves = [{**leaf, "value": 0.9}, {**leaf, "value": 0.1}]
    root = {"visits": 18, "value": 0.5, "depth": 0, "split": "lr", "children": leaves}
    axis = plot_tree(root).axes[0]
    good, bad, _ = (np.asarray(dots.get_facecolor())[0, :3].sum() for dots in axis.collections)
    assert good < bad
    assert [text.get_color() for text in axis.texts[:2]] == ["w", "k"]
    assert "1 best" in axis.get_title()


def test_a_value_is_marked_where_its_trials_are_drawn() -> None:
    for parameter in SPACE.parameters[:2]:
        places, values = zip(*list_ticks(parameter), strict=True)
        own = [parameter.encode(json.loads(value)) for value in values]
        assert places == pytest.approx(own, abs=1e-4)


def test_a_folder_without_a_sweep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResumeError, match="cannot be read"):
        write_report(tmp_path)
    with Journal(tmp_path / "journal.jsonl") as journal:
        journal.append({"event": "something"})
    with pytest.raises(ResumeError, match="ends before the sweep began"):
        write_report(tmp_path)


def test_tensorboard_gets_a_session_for_each_finished_trial(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    search, _ = reopen(sweep(tmp_path / "sweep", 4))
    board = TrialBoard(tmp_path, 1)
    board.show(search.trials)
    board.show(search.trials)
    sessions = sorted(path.name for path in (tmp_path / "tensorboard").iterdir())
    assert sessions == ["0", "2", "3"]
    for name in sessions:
        session = tmp_path / "tensorboard" / name
        assert len(list(session.iterdir())) == 1
        events = EventAccumulator(str(session)).Reload()
        (score,) = events.Scalars("value")
        assert score.value == pytest.approx((search.trials[int(name)].values or ())[0])
        assert "_hparams_/session_start_info" in events.summary_metadata
