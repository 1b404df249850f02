"""The bar of preparations: what it is told, and what a terminal shows."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.progress import BarColumn, TextColumn

from infinito.run_folder.progress import ECHO, Bar, preparation, watched


def test_every_item_is_told_with_the_bytes_before_and_after() -> None:
    told: list[tuple[str, int, int | None]] = []
    items = watched(["ab", "c"], "reading", len, 3, lambda *each: told.append(each))
    assert list(items) == ["ab", "c"]
    assert told == [("reading", 0, 3), ("reading", 2, 3), ("reading", 3, 3)]


def test_nobody_to_tell_costs_no_measuring() -> None:
    def refuse(_: str) -> int:
        raise AssertionError("measured for nobody")

    assert list(watched(["ab"], "reading", refuse, None, None)) == ["ab"]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_shows_the_work_the_bytes_and_the_time_left(terminal: bool) -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=120)
    with preparation(console, "preparing") as show:
        show("tokenising the train split", 2_000_000, 8_000_000)
    drawn = file.getvalue()
    if terminal:
        assert "tokenising the train split" in drawn
        assert "2.0 MB of 8.0 MB" in drawn
        assert ":--" in drawn or ":0" in drawn
    else:
        assert drawn.strip() == ""


@pytest.mark.parametrize("width", [30, 80])
def test_the_echo_of_ctrl_c_fits_beside_a_bar(width: int) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=width)
    bar = Bar(BarColumn(bar_width=None), TextColumn("step 7"), console=console)
    bar.add_task("", total=10)
    (line,) = console.render_lines(bar.get_renderable(), pad=False)
    assert sum(part.cell_length for part in line) == width - ECHO - 1
