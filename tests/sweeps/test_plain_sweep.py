"""A plain sweep says which run of how many, the time left, and a table at its end."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, OmegaConf

from infinito.sweeps.plain_sweep import PlainSweepReport, count_runs, read_overrides
from infinito.sweeps.record.run_folders import list_run_folders
from infinito.sweeps.report.run_table import print_run_table
from infinito.training.callbacks.interruption import Interrupted


def make_config(
    folder: Path,
    task: list[str],
    number: int = 0,
    sweeper: str = "basic",
    params: dict[str, Any] | None = None,
) -> DictConfig:
    hydra = {
        "sweeper": {"params": params},
        "runtime": {"choices": {"hydra/sweeper": sweeper}},
        "overrides": {"task": task},
        "job": {"num": number},
        "sweep": {"dir": str(folder)},
    }
    return OmegaConf.create({"hydra": hydra})


def leave_run(
    folder: Path, overrides: list[str], loss: float | None, score: str = "val/loss"
) -> None:
    folder.mkdir(parents=True)
    OmegaConf.save({"score": score}, folder / "config.yaml")
    OmegaConf.save(overrides, folder / "overrides.yaml")
    if loss is not None:
        (folder / "summary.json").write_text(json.dumps({"val/loss": loss}))


@pytest.mark.parametrize(
    ("task", "params", "runs"),
    [
        (["a=1,2", "seed=0,1,2", "c=3"], None, 6),
        (["a=1,2", "a=1,2,3"], None, 3),
        (["+a=range(0,10,2)"], {"b": "choice(x,y)"}, 10),
        (["a=1"], {"a": "1,2"}, 1),
        ([], None, 1),
    ],
)
def test_runs_are_counted_as_hydra_counts_them(
    tmp_path: Path, task: list[str], params: dict[str, str] | None, runs: int
) -> None:
    assert count_runs(read_overrides(make_config(tmp_path, task, params=params))) == runs


def test_each_run_is_announced_with_the_time_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of three runs takes 30 s, so the others about 60; the second fails."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    report = PlainSweepReport()
    report.on_multirun_start(make_config(tmp_path, ["seed=0,1,2", "+experiment=debug"]))
    for number in range(3):
        overrides = ["+experiment=debug", f"seed={number}"]
        job = make_config(tmp_path, overrides, number)
        report.on_job_start(job)
        now[0] += 30.0
        is_failed = number == 1
        leave_run(tmp_path / str(number), overrides, None if is_failed else 1.5 + number)
        status = JobStatus.FAILED if is_failed else JobStatus.COMPLETED
        result = JobReturn(status=status)
        result.return_value = RuntimeError("boom") if is_failed else 1.5
        report.on_job_end(job, result)
    report.on_multirun_end(make_config(tmp_path, []))
    printed = capsys.readouterr().out
    assert "[run 1 of 3] seed=0\n" in printed
    assert "[run 2 of 3, about 1:00 left] seed=1\n" in printed
    assert "run 2 of 3 failed: RuntimeError: boom\n" in printed
    assert "[run 3 of 3, about 0:30 left] seed=2\n" in printed
    assert printed.count("sweep of 3 runs") == 1
    rows = [line.split() for line in printed.splitlines()[-4:]]
    assert rows == [
        ["run", "seed", "val/loss"],
        ["0", "0", "1.5"],
        ["1", "1", "–"],
        ["2", "2", "3.5"],
    ]


@pytest.mark.parametrize(("number", "goes_on"), [(1, True), (2, False)])
def test_a_signal_ends_the_sweep_and_not_one_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], number: int, goes_on: bool
) -> None:
    report = PlainSweepReport()
    report.on_multirun_start(make_config(tmp_path, ["seed=0,1,2"]))
    for each in range(number + 1):
        leave_run(tmp_path / str(each), [f"seed={each}"], 1.5 if each < number else None)
    stopped = JobReturn(status=JobStatus.FAILED)
    stopped.return_value = Interrupted(signal.SIGTERM, "after step 7; everything is saved")
    with pytest.raises(SystemExit) as end:
        report.on_job_end(make_config(tmp_path, [f"seed={number}"], number), stopped)
    assert end.value.code == 143
    printed = capsys.readouterr().out
    assert [line.split() for line in printed.splitlines() if line.startswith("0 ")] == [
        ["0", "0", "1.5"]
    ]
    assert f"stopped in run {number + 1} of 3: after step 7; everything is saved\n" in printed
    assert ("were not begun" in printed) == goes_on


def test_a_search_is_left_to_its_own_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = make_config(tmp_path, ["a=1,2"], sweeper="mcts")
    report = PlainSweepReport()
    report.on_multirun_start(config)
    report.on_job_start(config)
    report.on_job_end(config, JobReturn())
    report.on_multirun_end(config)
    assert capsys.readouterr().out == ""


def test_a_complete_sweep_says_what_to_do_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "two words"
    leave_run(folder / "0", ["attention=dot"], 2.0)
    leave_run(folder / "1", ["attention=l1"], 1.0)
    print_run_table(folder, ["attention"])
    printed = capsys.readouterr().out
    assert f"python -m infinito.run task=compare 'runs=[\"{folder}\"]'" in printed
    print_run_table(tmp_path / "empty", ["attention"])
    assert capsys.readouterr().out == ""


def test_a_sweeps_folder_stands_for_its_runs(tmp_path: Path) -> None:
    for name in ("0", "2", "10", "10.2", "pictures", "outcomes", "1.x"):
        leave_run(tmp_path / name, [], None)
    (tmp_path / "3").mkdir()
    names = [path.name for path in list_run_folders(tmp_path)]
    assert names == ["0", "2", "10.2"]
    assert list_run_folders(tmp_path / "2") == [tmp_path / "2"]
    assert list_run_folders(tmp_path / "3") == []
