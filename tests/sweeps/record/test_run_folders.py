"""Which run folders a folder stands for."""

from __future__ import annotations

from pathlib import Path

from infinito.sweeps.record.run_folders import list_run_folders


def make_run(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.yaml").touch()
    return folder


def test_a_run_stands_for_itself(tmp_path: Path) -> None:
    assert list_run_folders(make_run(tmp_path / "run")) == [tmp_path / "run"]


def test_a_sweep_stands_for_the_last_launch_of_each_trial_in_their_order(tmp_path: Path) -> None:
    for name in ("10", "2", "2.2", "2.10", "0", "0_old", "3.x"):
        make_run(tmp_path / name)
    (tmp_path / "1").mkdir()  # it failed before it wrote anything
    assert [path.name for path in list_run_folders(tmp_path)] == ["0", "2.10", "10"]


def test_any_other_folder_stands_for_none(tmp_path: Path) -> None:
    assert list_run_folders(tmp_path) == []
    assert list_run_folders(tmp_path / "absent") == []
