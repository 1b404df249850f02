"""Files and folders stay small enough to be read at a glance, as CONTRIBUTING says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import infinito

ROOT = Path(infinito.__file__).parent.parent

LINES = 300
"""Most lines of a Python file."""

ENTRIES = 12
"""Most entries of a folder, `__init__.py` not counted."""

LISTS = {"infinito", "infinito/config", "infinito/tasks", "conf", "conf/experiment"}
LISTS |= {"tests", "tests/tasks"}
"""Folders of one kind of file, which a level more would only hide."""


def list_folders(top: Path) -> Iterator[Path]:
    """Yield a folder and all below it that hold files of the repository."""
    yield top
    for path in sorted(top.iterdir()):
        if path.is_dir() and not path.name.startswith(("__", ".")):
            yield from list_folders(path)


@pytest.mark.parametrize("top", ["infinito", "hydra_plugins", "tests", "experiments"])
def test_no_file_is_long(top: str) -> None:
    long = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / top).rglob("*.py")
        if len(path.read_text(encoding="utf-8").splitlines()) > LINES
    ]
    assert not long


@pytest.mark.parametrize("top", ["infinito", "hydra_plugins", "conf", "tests"])
def test_no_folder_is_crowded(top: str) -> None:
    crowded = {
        folder.relative_to(ROOT).as_posix()
        for folder in list_folders(ROOT / top)
        if sum(not path.name.startswith(("__", ".")) for path in folder.iterdir()) > ENTRIES
    }
    assert crowded <= LISTS
