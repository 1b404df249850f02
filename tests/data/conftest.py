"""What several data tests need."""

import pytest


@pytest.fixture
def closed_hub(monkeypatch):
    """The hub's address is a port of this machine on which nothing listens."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
