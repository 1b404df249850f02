"""Trackio reads where its databases lie when it is imported."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(scope="session", autouse=True)
def trackio_here(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep Trackio's databases in a folder of the session; the tests name projects of their own."""
    os.environ["TRACKIO_DIR"] = str(tmp_path_factory.mktemp("trackio"))
