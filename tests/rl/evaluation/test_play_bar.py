"""An evaluation shows a bar on a terminal and one line in a log file."""

from __future__ import annotations

import io

from rich.console import Console

from infinito.rl.evaluation.play_bar import show_steps


def drawn(terminal: bool) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=80)
    with show_steps(console, "playing 6 episodes", 40) as on_step:
        on_step(20)
    return file.getvalue()


def test_a_log_file_has_one_line() -> None:
    assert drawn(terminal=False) == "playing 6 episodes\n"


def test_a_terminal_has_a_bar() -> None:
    assert "playing 6 episodes" in drawn(terminal=True)
    assert "50%" in drawn(terminal=True)
