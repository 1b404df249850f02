"""What tests of pushing share: a command that pushes, and what came to the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from infinito.cli.composition import check
from infinito.config import RunConf
from infinito.hub import push_model
from infinito.paths import conf_dir
from tests.hub.server import Hub

CREATE, WRITE, COMMIT = "/api/repos/create", "/auth-check/write", "/commit/"
BATCH, PUT = "objects/batch", "/lfs/"


def configure(name: str = "a/b", *overrides: str) -> RunConf:
    """Return the configuration of a training that pushes."""
    return check([f"push={name}", *overrides], conf_dir())


def push(run: Path, conf: RunConf | None = None) -> None:
    """Push what a run has left."""
    push_model(conf or configure(), run, Console(quiet=True))


def read_pushed(hub: Hub, name: str = "a/b") -> dict[str, bytes]:
    """Return the files of a repository's main branch."""
    repository = hub.repositories["model", name]
    return repository.commits[repository.refs["main"]]


def in_this_process(test: Any) -> Any:
    """Run a test with `here`, whose library uses its HTTP client in an old way."""
    old = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
    return pytest.mark.usefixtures("here")(old(test))
