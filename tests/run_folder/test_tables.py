"""A value stays on its line where there is no screen whose width it could fit."""

from __future__ import annotations

import io

from rich.console import Console

from infinito.run_folder.tables import print_next, print_table, without_next

LONG = " ".join(["a sentence of many words"] * 10)


def printed(*, terminal: bool) -> str:
    console = Console(file=io.StringIO(), width=80, force_terminal=terminal, color_system=None)
    print_table(console, "title", {"text": LONG, "val/loss": 1.5, "path": "[bold]/a/b"})
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_a_pipe_gets_a_line_for_each_value() -> None:
    assert printed(terminal=False).splitlines() == [
        "title",
        f"text      {LONG}",
        "val/loss  1.5",
        "path      [bold]/a/b",
    ]


def test_a_terminal_folds_what_is_too_long() -> None:
    assert all(len(line) <= 80 for line in printed(terminal=True).splitlines())


def test_the_runs_of_a_sweep_leave_next_commands_to_the_sweep() -> None:
    console = Console(file=io.StringIO(), width=80)
    with without_next():
        print_next(console, [("run this", "more")])
    assert console.file.getvalue() == ""  # type: ignore[attr-defined]
    print_next(console, [("run this", "more")])
    assert "run this  # more" in console.file.getvalue()  # type: ignore[attr-defined]
