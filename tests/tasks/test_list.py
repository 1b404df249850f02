"""`task=list` names everything that can be chosen, a line each."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from infinito.config import TASKS
from infinito.paths import conf_dir
from infinito.tasks import list as task


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    monkeypatch.setenv("COLUMNS", "80")
    task.run(None, Path("unused"), [])  # type: ignore[arg-type]
    return capsys.readouterr().out.splitlines()


def test_tasks_searches_and_every_option_have_a_line(printed: list[str]) -> None:
    names = [line.split()[0] for line in printed if line.strip()]
    files = [path.stem for path in conf_dir().glob("*/**/*.yaml")]
    for name in (*TASKS, *files, "task=…", "search=…", "rl/reward=…"):
        assert name in names, name


def test_each_line_fits_eighty_columns(printed: list[str]) -> None:
    assert max(len(line.rstrip()) for line in printed) <= 80
    assert len(printed) < len(TASKS) + 3 * len(list(conf_dir().glob("*/**/*.yaml"))) + 20


def test_extras_say_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    required = ["torch>=2", "tokenizers>=0.2; extra == 'a'", "no-such-thing; extra == 'b'"]
    monkeypatch.setattr(metadata, "requires", lambda _: [*required, "ruff; extra == 'dev'"])
    assert dict(task.installable_extras()) == {
        "a": "tokenizers (installed)",
        "b": "no-such-thing (no-such-thing not installed)",
    }
