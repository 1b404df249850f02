"""Lines of a pipe: ends, marks, and bytes that are no text."""

from __future__ import annotations

import io

import pytest

from infinito.chat.lines import LONGEST_LINE, is_terminal, piped_lines
from infinito.errors import DataError


def lines_of(content: bytes, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert not is_terminal()
    return list(piped_lines())


def test_lines_lose_their_ends_and_a_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lines_of(b"\xef\xbb\xbfeins\r\n\nzwei \xc3\xa9", monkeypatch) == ["eins", "", "zwei é"]


@pytest.mark.parametrize("half", [b"\xe9", b"\xed\xa0\xbd"], ids=["latin1", "surrogate"])
def test_bytes_that_are_no_utf8_are_named(half: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="standard input: line 2 is not UTF-8 at byte 2"):
        lines_of(b"a\nb" + half + b"\n", monkeypatch)


def test_a_line_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=f"line 1 is longer than {LONGEST_LINE} bytes"):
        lines_of(b"\0" * (LONGEST_LINE + 1), monkeypatch)


def test_no_standard_input_is_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    assert not is_terminal()
    assert list(piped_lines()) == []
