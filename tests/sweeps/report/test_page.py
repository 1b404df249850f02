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
from tests.pages.test_rendering import without_library

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


def plots_of(page: str) -> list[dict[str, Any]]:
    """The plots in a page's data."""
    (data,) = re.findall(r'id="plots">(.*?)</script>', page)
    found: list[dict[str, Any]] = json.loads(data)
    return found


def test_one_page_with_all_pictures_and_trials(tmp_path: Path) -> None:
    folder = sweep(tmp_path / "sweep", 20)
    page = write_report(folder).read_text(encoding="utf-8")
    own = without_library(page)
    assert not re.search(r'(src|href)="(?!data:|#)', own)
    assert "19 of 20 trials finished, 1 failed; the best is trial" in own
    titles = [plot["title"] for plot in plots_of(page)]
    assert titles == [
        "Best so far",
        "Best so far by compute",
        "lr",
        "n",
        "kind",
        "Importances",
    ]
    assert own.count("<td>finished</td>") == 19
    assert own.count('<tr class="marked">') == 1
    assert own.count("<svg") == 6
    names = {path.name for path in (folder / "pictures").iterdir()}
    assert {"tree.png", "tree.svg", "best_so_far.png", "importances.svg", "slices.png"} <= names


def test_what_trials_say_is_text_not_markup(tmp_path: Path) -> None:
    page = write_report(sweep(tmp_path / "sweep", 5)).read_text(encoding="utf-8")
    own = without_library(page)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in own
    assert "<script>alert" not in own
    assert "<b>bad" not in own


def test_a_trial_says_its_settings_where_it_is_drawn(tmp_path: Path) -> None:
    page = write_report(sweep(tmp_path / "sweep", 6)).read_text(encoding="utf-8")
    trials = plots_of(page)[0]["curves"][0]
    assert trials["labels"][0].startswith("trial 0\nlr=")
    assert trials["x"]["trial"] == [0, 2, 3, 4, 5]


def test_the_tree_is_told_from_its_first_split_on(tmp_path: Path) -> None:
    few = write_report(sweep(tmp_path / "few", 3)).read_text(encoding="utf-8")
    assert "do not tell regions apart yet" in few
    many = write_report(sweep(tmp_path / "many", 60)).read_text(encoding="utf-8")
    assert "└ n &lt; " in many
    assert "└ n ≥ " in many


def trial_folder(folder: Path, number: int, overrides: list[str]) -> Path:
    """The folder of a trial of `task=trial`, with a learning curve."""
    run = folder / str(number)
    run.mkdir()
    (run / "config.yaml").write_text("task: trial\nscore: val/loss\n")
    (run / "overrides.yaml").write_text(json.dumps(overrides))
    (run / "metrics.csv").write_text("step,val/loss\n1,3.5\n2,2.5\n")
    return run


def test_the_best_is_a_whole_command_and_scores_have_their_name(tmp_path: Path) -> None:
    folder = sweep(tmp_path / "sweep", 6)
    search, _ = reopen(folder)
    best = search.best()
    assert best is not None
    for trial in search.trials:
        lr = trial.params["lr"]
        words = ["+experiment=debug", "task=trial", f"lr={lr}", f"n={trial.params['n']}"]
        run = trial_folder(folder, trial.number, words)
    (run / "report.html").touch()
    page = write_report(folder).read_text(encoding="utf-8")
    short = f"{best.params['lr']:.4g}"
    command = f"+experiment=debug lr={float(short)} n={best.params['n']} task=train"
    assert f"python -m infinito.run {command}" in page
    assert "val/loss" in re.findall(r'class="verdict good">(.*?)<', page)[0]
    assert f'<a href="{run.name}/report.html">' in page
    learning = next(plot for plot in plots_of(page) if plot["title"] == "Learning curves")
    assert learning["curves"][-1]["name"] == f"trial {best.number} (best)"
    assert learning["curves"][-1]["y"] == [3.5, 2.5]


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
