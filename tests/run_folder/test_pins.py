"""What a run was begun with is compared, and paths mean the same from every folder."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from infinito.errors import CheckpointError, ResumeError
from infinito.run_folder.folder import GROUPS, record_config
from infinito.run_folder.pins import (
    SHOWN,
    Input,
    check_config,
    check_inputs,
    check_text,
    new_record,
    with_absolute_paths,
)

VALUES: dict[str, Any] = {**{group: {} for group in GROUPS}, "seed": 3, "optimizer": {"lr": 1e-05}}
TEXT = {"name": "text", "path": "/texts/a.txt", "block_size": 8}


def test_an_edited_configuration_is_refused_with_each_value(tmp_path: Path) -> None:
    record_config(tmp_path, VALUES, [])
    record = new_record(tmp_path)
    check_config(record, tmp_path)
    edited = {**VALUES, "seed": 4, "optimizer": {"lr": 0.5}}
    (tmp_path / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(edited)))
    with pytest.raises(ResumeError, match=r"seed: the run began with 3, the file has 4") as found:
        check_config(record, tmp_path)
    assert "optimizer.lr: the run began with 1e-05, the file has 0.5" in str(found.value)


def test_a_configuration_cut_short_is_refused(tmp_path: Path) -> None:
    record_config(tmp_path, {**VALUES, "task": "train"}, [])
    record = new_record(tmp_path)
    text = (tmp_path / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(text.removesuffix("task: train\n"))
    with pytest.raises(ResumeError, match="task: the run began with train, the file has None"):
        check_config(record, tmp_path)


def test_what_changed_is_named_and_what_was_not_recorded_is_not_compared() -> None:
    record = {"inputs": {"train text": {"fingerprint": "a" * 64, "place": "/a", "name": ""}}}
    check_inputs(record, [Input("train text", "/b", "a" * 64), Input("pairs", "/c", "b")], "")
    with pytest.raises(ResumeError, match=r"train text \(/b\): SHA-256 a{12} then, b{12} now\nDo"):
        check_inputs(record, [Input("train text", "/b", "b" * 64)], "Do this.")


def test_another_text_than_the_runs_may_be_measured() -> None:
    record = {
        "config": {"data": TEXT},
        "inputs": {"valid text": {"fingerprint": "a"}},
    }
    changed = Input("valid text", "/texts/a.txt", "b")
    check_text(record, {**TEXT, "path": "/texts/b.txt"}, changed)
    check_text(None, TEXT, changed)
    with pytest.raises(CheckpointError, match=r"valid text .*\n.*`data=text data.path=<file>`"):
        check_text(record, {**TEXT, "block_size": 4}, changed)


def test_paths_are_made_absolute_and_hub_names_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base").mkdir()
    values = {
        "data": {"name": "text", "path": "texts/*.txt", "cache_dir": "cache"},
        "tokenizer": {"path": "base"},
        "model": {"path": "owner/name"},
        "checkpoint": "~/run",
        "dpo": {"reference_checkpoint": None},
    }
    changed = with_absolute_paths(values)
    assert changed["data"]["path"] == f"{tmp_path}/texts/*.txt"
    assert changed["data"]["cache_dir"] == f"{tmp_path}/cache"
    assert changed["tokenizer"]["path"] == f"{tmp_path}/base"
    assert changed["model"]["path"] == "owner/name"
    assert changed["checkpoint"] == "~/run"
    assert with_absolute_paths(changed) == changed


def compare(then: dict[str, str], now: dict[str, str]) -> None:
    """Compare a text of some files with what it is now."""
    before, after = (
        Input("train text", "text of a/*.txt", "".join(files.values()), files)
        for files in (then, now)
    )
    check_inputs({"inputs": {before.name: asdict(before)}}, [after], "Put it back.")


def test_the_files_that_changed_are_named() -> None:
    then = {"/a/1.txt": "f1", "/a/2.txt": "f2", "/a/3.txt": "f3"}
    with pytest.raises(ResumeError) as error:
        compare(then, {"/a/1.txt": "f1", "/a/2.txt": "00", "/a/4.txt": "f3"})
    lines = str(error.value).splitlines()[2:]
    assert lines == [
        "    changed: /a/2.txt",
        "    gone: /a/3.txt",
        "    new: /a/4.txt",
        "Put it back.",
    ]


def test_many_files_are_counted() -> None:
    with pytest.raises(ResumeError, match=f"and {20 - SHOWN} more"):
        compare({f"/a/{n}": "x" for n in range(20)}, {f"/a/{n}": "y" for n in range(20)})


def test_without_files_the_whole_is_named_alone() -> None:
    with pytest.raises(ResumeError, match=r"\(text of a/\*.txt\): SHA-256 f1 then,  now"):
        compare({"/a/1.txt": "f1"}, {})


def test_a_record_from_before_files_were_named_still_compares() -> None:
    after = Input("train text", "a.txt", "other", {"/a.txt": "other"})
    record = {"inputs": {"train text": {"name": "train text", "place": "a", "fingerprint": "x"}}}
    with pytest.raises(ResumeError, match="SHA-256 x then, other now\nPut"):
        check_inputs(record, [after], "Put it back.")
