"""Names of the hub and of folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from infinito.hub import Wanted, is_commit, is_hub_id, names_a_folder


@pytest.mark.parametrize("name", ["./a", "../a", "/a/b", "~/a", "a/b/c", "C:\\a"])
def test_names_of_folders(name: str) -> None:
    assert names_a_folder(name)
    assert not is_hub_id(name)


def test_a_name_that_exists_here_is_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_hub_id("owner/name")
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert names_a_folder("owner/name")


@pytest.mark.parametrize("name", ["a.jsonl", "data/a.json.gz", "a.PARQUET"])
def test_names_of_files_are_no_ids(name: str) -> None:
    assert not is_hub_id(name)


def test_only_a_full_hash_is_a_commit() -> None:
    assert is_commit("0123456789abcdef" * 2 + "01234567")
    assert not any(map(is_commit, (None, "main", "0123456", "g" * 40)))


def test_keys_and_pages_of_what_is_wanted() -> None:
    held_out = Wanted("a/b", kind="dataset", key="data.held_out_path")
    assert held_out.revision_key == "data.held_out_revision"
    assert held_out.page.endswith("/datasets/a/b")
    assert Wanted("a/b").revision_key == "model.revision"
    assert Wanted("a/b").mend == "model.path=<folder>"
