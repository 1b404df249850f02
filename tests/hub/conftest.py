"""A hub of this machine in place of the real one, with caches of its own."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from huggingface_hub import constants

from infinito.hub import downloading, patience
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
