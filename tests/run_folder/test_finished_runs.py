"""Runs are found by name, by pattern and inside sweeps; damaged results are named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from infinito.errors import CheckpointError, ConfigError
from infinito.run_folder.finished_runs import find_runs, read_finished

Make = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path) -> Make:
    """Writes run folders with as much in them as a search for runs reads."""

    def make(name: str, finished: bool = True) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        groups = ("model", "attention", "data", "tokenizer", "optimizer", "trainer", "generation")
        text = "".join(f"{group}: {{}}\n" for group in groups)
        (folder / "config.yaml").write_text(text)
        if finished:
            (folder / "summary.json").write_text('{"val/loss": 1.5}')
        return folder

    return make


def test_a_sweep_stands_for_its_finished_runs_in_order(make_run: Make, tmp_path: Path) -> None:
    runs = [make_run(f"sweep/{number}", finished=number != 3) for number in (10, 9, 3, 1)]
    (tmp_path / "sweep/outcomes").mkdir()
    found, unfinished = find_runs([str(tmp_path / "sweep")])
    assert found == [runs[3], runs[1], runs[0]]
    assert unfinished == [runs[2]]


def test_a_pattern_stands_for_runs_and_sweeps_each_once(make_run: Make, tmp_path: Path) -> None:
    runs = [make_run("a/one"), make_run("b/sweep/0"), make_run("b/sweep/1")]
    found, unfinished = find_runs([f"{tmp_path}/*/*", str(runs[0])])
    assert (found, unfinished) == (runs, [])


def test_a_named_run_is_kept_though_unfinished(make_run: Make) -> None:
    run = make_run("a", finished=False)
    assert find_runs([str(run)]) == ([run], [])
    with pytest.raises(CheckpointError, match=r"holds no summary.json.*`resume=.*a`"):
        read_finished(run)


@pytest.mark.parametrize("entry", ["absent", "empty", "no*"])
def test_what_names_no_run_is_refused(tmp_path: Path, entry: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"`runs`: .* names no run\. Expected a run folder"):
        find_runs([str(tmp_path / entry)])


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b'{"val/loss": 1.', "cannot be read: .*line 1"),
        (b"", "cannot be read: Expecting value"),
        (b"\xff\xfe", "cannot be read: 'utf-8' codec"),
        (b"[1, 2]", "expected names and figures, found a list"),
    ],
    ids=["cut", "empty", "latin", "list"],
)
def test_damaged_results_are_named(make_run: Make, content: bytes, fault: str) -> None:
    run = make_run("a")
    (run / "summary.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=fault + r".*Leave the run out of `runs`"):
        read_finished(run)
