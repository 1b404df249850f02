"""A command that is printed does what it says when it is typed, and is easy to read."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from infinito.run_folder.commands import build_command, list_curves, quote_word


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Path("multirun/base/2026-11-30_10-00-00_1a2b3c"), None),
        ("/tmp/a b/run", "'checkpoint=\"/tmp/a b/run\"'"),
        ("it's here", "'checkpoint=\"it's here\"'"),
        ("null", "'checkpoint=\"null\"'"),
        ("1e5", "'checkpoint=\"1e5\"'"),
        ([Path("a/b"), "c d"], "'checkpoint=[a/b,\"c d\"]'"),
        (None, "checkpoint=null"),
        (0.1, "checkpoint=0.1"),
        ('say "$HOME" {{ x }}', None),
        ("back\\slash\\", None),
        ("é", None),
    ],
)
def test_a_shell_and_hydra_read_the_value_back(value: Any, expected: str | None) -> None:
    command = build_command({"checkpoint": value}, "infinito")
    program, word = shlex.split(command)
    assert program == "infinito"
    read = OverridesParser.create().parse_override(word).value()
    plain = [str(each) for each in value] if isinstance(value, list) else value
    texts = [getattr(each, "text", each) for each in (read if isinstance(read, list) else [read])]
    assert texts == (
        plain if isinstance(plain, list) else [str(plain) if isinstance(plain, Path) else plain]
    )
    if expected is not None and "it's" not in str(value):
        assert command == f"infinito {expected}"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("a/b.c", "a/b.c"),
        ("a b", "'a b'"),
        ("it's", '"it\'s"'),
        ("it's $x", shlex.quote("it's $x")),
    ],
)
def test_a_word_is_quoted_only_where_a_shell_needs_it(text: str, word: str) -> None:
    assert quote_word(text) == word
    assert shlex.split(word) == [text]


@pytest.mark.parametrize(
    ("run", "logger", "command"),
    [
        ("multirun/base/a", None, "tensorboard --logdir multirun"),
        ("/tmp/my run", {"name": "tensorboard"}, "tensorboard --logdir '/tmp/my run'"),
        ("a b", {"name": "wandb", "offline": True}, "wandb sync 'a b'/wandb/offline-run-*"),
        ("a", {"name": "wandb", "offline": False}, None),
        ("a", {"name": "mlflow", "tracking_uri": "http://b"}, None),
        ("a", {"name": "trackio", "server_url": "http://b"}, None),
        (
            "a",
            {"name": "trackio", "server_url": None, "project": "my b"},
            "trackio show --project 'my b'",
        ),
        ("a", {"name": "none"}, None),
    ],
)
def test_curves_are_found_where_the_run_has_its_dashboard(
    run: str, logger: dict[str, Any] | None, command: str | None
) -> None:
    values = {"runs_dir": "multirun"} | ({} if logger is None else {"logger": logger})
    found = list_curves(Path(run), values, "curves")
    assert [line for line, _ in found] == ([] if command is None else [command])


def test_curves_in_a_database_are_opened_from_it() -> None:
    values = {"runs_dir": "/tmp/runs", "logger": {"name": "mlflow", "tracking_uri": None}}
    ((command, _),) = list_curves(Path("/tmp/runs/a"), values, "curves")
    assert command == "mlflow ui --backend-store-uri sqlite:////tmp/runs/mlflow.db"
