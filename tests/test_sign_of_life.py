"""The sign of life: at once on a terminal, gone before other output, and nowhere else."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from infinito import sign_of_life

ROOT = Path(__file__).resolve().parent.parent


class Terminal:
    """A standard error that is a terminal."""

    def __init__(self) -> None:
        self.text = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    for name in ("RANK", "LOCAL_RANK", "COMP_LINE"):
        monkeypatch.delenv(name, raising=False)
    found = Terminal()
    # not `sys.stderr` itself, which pytest sets anew between the fixture and the test
    monkeypatch.setattr(sign_of_life, "sys", SimpleNamespace(stderr=found))
    return found


def test_a_line_is_shown_at_once_and_taken_away(terminal: Terminal) -> None:
    sign_of_life.begin("reading")
    assert terminal.text.endswith(f"{sign_of_life.FRAMES[0]} reading")
    sign_of_life.begin("twice")
    sign_of_life.end()
    assert "twice" not in terminal.text
    assert terminal.text.endswith(sign_of_life.ERASE)
    before = terminal.text
    sign_of_life.end()
    assert terminal.text == before


@pytest.mark.parametrize(("name", "value"), [("RANK", "1"), ("LOCAL_RANK", "1"), ("COMP_LINE", "")])
def test_other_processes_and_completion_show_nothing(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    sign_of_life.begin("reading")
    sign_of_life.end()
    assert terminal.text == ""


def test_a_pipe_gets_no_control_codes() -> None:
    command = [sys.executable, "-m", "infinito", "task=list"]
    finished = subprocess.run(command, capture_output=True, cwd=ROOT, check=True)
    assert b"\x1b" not in finished.stdout + finished.stderr
    assert finished.stderr == b""


@pytest.mark.parametrize("module", ["infinito", "infinito.run"])
def test_the_program_shows_it_before_its_answer(module: str) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", module, "modle=gpt2"]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=ROOT)
    os.close(theirs)
    output = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:
            break
        if not piece:
            break
        output += piece
    os.close(ours)
    assert process.wait() == 2
    sign, answer = output.index(b"reading the configuration"), output.index(b"did you mean")
    assert sign < output.rindex(sign_of_life.ERASE.encode()[-3:]) < answer
