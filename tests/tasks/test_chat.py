"""`task=chat` as people use it: through a pipe, and at a terminal with its control keys."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from infinito.config import RunConf
from infinito.errors import ConfigError, DataError
from infinito.tasks import chat

Command = Callable[..., subprocess.CompletedProcess[str]]

GREEDY = ("generation.temperature=0", "chat.template=plain", "trainer.accelerator=cpu")


PATIENCE_S = 25


class Terminal:
    """A child process whose standard streams are a terminal."""

    def __init__(self, folder: Path, *overrides: str) -> None:
        words = [sys.executable, "-m", "infinito.run", "task=chat", *GREEDY, *overrides]
        self.process, self.own = pty.fork()
        if self.process == 0:
            os.chdir(folder)
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's & ignores it
            os.environ.update(TERM="dumb", OMP_NUM_THREADS="1", COLUMNS="200")
            os.execv(words[0], words)
        self.shown = ""

    def wait_for(self, text: str) -> None:
        """Read until a text is shown, after what was waited for before."""
        while text not in self.shown and (more := self.read()):
            self.shown += more
        assert text in self.shown, self.shown
        self.shown = self.shown.partition(text)[2]

    def read(self) -> str:
        """What is shown next; "" once the program has ended or shows nothing for long."""
        if not select.select([self.own], [], [], PATIENCE_S)[0]:
            os.kill(self.process, signal.SIGKILL)
            return ""
        try:
            return os.read(self.own, 4096).decode(errors="replace")
        except OSError:  # Linux tells the end of a terminal so
            return ""

    def type(self, text: str) -> None:
        os.write(self.own, text.encode())

    def interrupt(self, answer: str) -> None:
        """Press Ctrl+C until it is answered.

        Python's `input` misses one that comes between its look at the signals and its wait for a
        key (CPython, Modules/readline.c); a person presses again.
        """
        for _ in range(PATIENCE_S):
            self.type("\x03")
            if select.select([self.own], [], [], 1)[0]:
                break
        self.wait_for(answer)

    def end(self) -> int:
        """The exit code."""
        while self.read():
            pass
        os.close(self.own)
        return os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])


@pytest.fixture
def run(finished: Callable[..., Path]) -> Path:
    return finished("data.block_size=64")


def test_a_pipe_gets_answers_alone(run: Path, command: Command) -> None:
    common = ("task=chat", *GREEDY, f"checkpoint={run}", "generation.max_new_tokens=6")
    found = command(*common, stdin="line 7\n\nline 8\n/undo\n/nothing\nline 9\n")
    assert found.returncode == 1
    assert "took back: line 8" in found.stderr
    assert "error: `/nothing`: there is no such command" in found.stderr
    assert found.stdout.count("\n") >= 2


def test_a_terminal_with_control_keys(run: Path, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, f"checkpoint={run}", "generation.max_new_tokens=100000")
    terminal.wait_for("/help lists the commands")
    terminal.wait_for("> ")
    terminal.type("half a line")
    terminal.wait_for("half a line")
    terminal.interrupt("(Ctrl+D or /quit ends the program)")
    terminal.wait_for("> ")
    terminal.type("/temperature 2\n")
    terminal.wait_for("temperature 2")
    terminal.wait_for("> ")  # until then the terminal itself reads the control keys
    terminal.type("lime 7\x1b[D\x1b[D\x1b[D\x7fn\n")  # three to the left, delete, n: line editing
    terminal.wait_for("> ")
    terminal.type("/undo\n")
    terminal.wait_for("took back: line 7")
    terminal.wait_for("> ")
    terminal.type("\x04")
    assert terminal.end() == 0


def test_it_needs_a_model_and_reads_no_prompt(reading: Callable[..., RunConf]) -> None:
    with pytest.raises(ConfigError, match="`task=chat` needs `checkpoint="):
        reading("task=chat")
    with pytest.raises(ConfigError, match=r"`generation\.prompt` is not read by `task=chat`"):
        reading("task=chat", "checkpoint=x", "generation.prompt=y")


def test_a_run_without_a_template_is_told_how_to_give_one(
    finished: Callable[..., Path], reading: Callable[..., RunConf]
) -> None:
    with pytest.raises(DataError, match=r"has no chat template.*`chat\.template=plain`"):
        chat.run(reading("task=chat", f"checkpoint={finished()}"), Path("unused"), [])
