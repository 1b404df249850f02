"""What a run was begun with is compared, and paths mean the same from every folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from infinito.errors import CheckpointError, ResumeError
from infinito.run_folder.folder import GROUPS, record_config
from infinito.run_folder.pins import (
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
