"""Which commit of a model comes from the hub, and what is fetched of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from infinito.hub import TOKENIZER_FILES, Wanted, download, model_folder, resolve_commit
from infinito.hub.downloading import resolve_commit as cached
from tests.hub.server import Hub


def test_a_model_comes_whole_and_once(hub: Hub, gpt2_folder: Path) -> None:
    commit = hub.add_model("a/b", gpt2_folder)
    folder = model_folder("a/b")
    assert folder.name == commit
    for file in gpt2_folder.iterdir():
        assert (folder / file.name).read_bytes() == file.read_bytes()
    hub.requests.clear()
    assert model_folder("a/b", commit) == folder
    assert hub.requests == []


def test_a_revision_is_a_branch_a_tag_or_a_commit(hub: Hub) -> None:
    repository = hub.repository("model", "a/b")
    first = repository.commit({"config.json": b"1"})
    repository.refs["v1"] = first
    second = repository.commit({"config.json": b"2"})
    assert resolve_commit(Wanted("a/b")) == second
    assert resolve_commit(Wanted("a/b", "v1")) == first
    assert resolve_commit(Wanted("a/b", first)) == first
    assert (model_folder("a/b", "v1") / "config.json").read_bytes() == b"1"
    assert (model_folder("a/b") / "config.json").read_bytes() == b"2"


def test_a_branch_is_resolved_once_in_a_process(hub: Hub) -> None:
    repository = hub.repository("model", "a/b")
    first = repository.commit({"config.json": b"1"})
    assert resolve_commit(Wanted("a/b")) == first
    second = repository.commit({"config.json": b"2"})
    assert resolve_commit(Wanted("a/b")) == first
    cached.cache_clear()
    assert resolve_commit(Wanted("a/b")) == second


def test_no_code_and_nothing_else_is_fetched(hub: Hub) -> None:
    files = {
        "config.json": b"{}", "modeling_x.py": b"raise SystemExit", "pytorch_model.bin": b"pickle",
        "onnx/model.safetensors": b"x", "tokenizer.json": b"{}", "model.safetensors": b"x",
    }  # fmt: skip
    hub.repository("model", "a/b").commit(files)
    fetched = {file.name for file in model_folder("a/b").rglob("*")}
    assert fetched == {"config.json", "tokenizer.json", "model.safetensors"}
    hub.repository("model", "c/d").commit(files)
    folder = download(Wanted("c/d"), TOKENIZER_FILES)
    assert {file.name for file in folder.rglob("*")} == {"config.json", "tokenizer.json"}


def test_a_renamed_model_comes_with_a_warning(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    commit = hub.repository("model", "new/name").commit({"config.json": b"{}"})
    hub.renamed["old/name"] = "new/name"
    assert model_folder("old/name").name == commit
    told = capsys.readouterr().err
    assert "the hub has renamed old/name; use `model.path=new/name`" in told
