"""A hub of this machine in place of the real one, with caches of its own."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from huggingface_hub import constants, set_client_factory
from huggingface_hub.utils._http import default_client_factory

from infinito.hub import downloading, patience, push_child, pushing
from tests.hub.server import Hub


def be_patient(monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    """Set how long everything waits: long where an answer comes, short where none does."""
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", seconds)
    monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", str(seconds))
    monkeypatch.setattr(patience, "ANSWER_S", float(seconds))
    monkeypatch.setattr(patience, "STALL_S", float(seconds))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub without repositories, and no token."""
    served = Hub()
    cache = tmp_path / "hub_cache"
    monkeypatch.setattr(constants, "ENDPOINT", served.address)
    files = f"{served.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", files)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    be_patient(monkeypatch, 120)
    monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "0")
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    if find_spec("datasets"):
        import datasets

        for name, value in (("HF_ENDPOINT", served.address), ("HF_HUB_OFFLINE", False)):
            monkeypatch.setattr(datasets.config, name, value)
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    downloading.resolve_commit.cache_clear()
    yield served
    downloading.resolve_commit.cache_clear()
    served.close()


@pytest.fixture
def logged_in(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub that takes this machine's models."""
    monkeypatch.setenv("HF_TOKEN", hub.token)
    return hub


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let this process do what a child does, whose start takes a second."""
    monkeypatch.setattr(pushing, "_run", lambda order: push_child.answer(**order))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    yield
    set_client_factory(default_client_factory)


@pytest.fixture
def finished_run(tmp_path: Path) -> Path:
    """A finished run, as far as pushing is concerned."""
    folder = tmp_path / "a run"
    (folder / "model").mkdir(parents=True)
    (folder / "report.html").write_text("<html>")
    card = '---\ntags:\n- infinito\n---\nfrom_pretrained("<this folder>")'
    files = {"README.md": card, "config.json": "{}", "model.safetensors": "weights " * 1000}
    for name, content in files.items():
        (folder / "model" / name).write_text(content)
    return folder
