"""What is printed where, and what ends a session."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Callable, Generator

import pytest
from rich.console import Console

from infinito.chat.conversation import Conversation, Turn
from infinito.chat.session import Session, stopping, write_piece
from infinito.config import ChatConf
from infinito.errors import DataError

Begin = Callable[..., Conversation]


def session(conversation: Conversation, is_live: bool) -> tuple[Session, io.StringIO]:
    notes = io.StringIO()
    return Session(conversation, Console(file=notes, width=200), is_live), notes


def test_answers_alone_go_to_standard_output(
    begin: Begin, capsys: pytest.CaptureFixture[str]
) -> None:
    talk = begin()
    made, notes = session(talk, is_live=False)
    made.run(["has he", "  ", "/temperature 0", "//slash"])
    asked = [each["content"] for each in talk.messages[::2]]
    told = [each["content"] for each in talk.messages[1::2]]
    assert asked == ["has he", "/slash"]
    assert capsys.readouterr().out == "".join(f"{answer}\n" for answer in told)
    assert "temperature 0" in notes.getvalue()
    assert "the answer was cut by `generation.max_new_tokens`=8" in notes.getvalue()


def test_a_fault_ends_a_pipe_and_not_a_person(begin: Begin) -> None:
    made, _ = session(begin(), is_live=False)
    with pytest.raises(DataError, match="no such command"):
        made.run(["/nothing", "a"])
    made, notes = session(begin(), is_live=True)
    made.run(["/nothing", "a", "/quit", "b"])
    assert "error: `/nothing`" in notes.getvalue()
    assert made.conversation.turns == 1


def test_turns_that_are_left_out_and_a_full_window_are_said(begin: Begin) -> None:
    made, notes = session(begin(max_position_embeddings=64), is_live=True)
    made.run(["has he"] * 3 + ["a" * 30])
    assert "note: the oldest turn is left out: the window is full" in notes.getvalue()
    made.run(["a" * 43])
    assert "turns are left out" in notes.getvalue() or "turn is left out" in notes.getvalue()
    assert "the answer was cut by the model's window of 64" in notes.getvalue()


def test_a_cache_that_is_read_anew_is_said_once(begin: Begin) -> None:
    made, notes = session(begin("mamba"), is_live=True)
    made.run(["has he", "a", "b"])
    assert notes.getvalue().count("this model's cache cannot be kept or shortened") == 1


def test_ctrl_c_stops_an_answer_and_not_the_program(
    begin: Begin, capsys: pytest.CaptureFixture[str]
) -> None:
    talk = begin(chat=ChatConf())
    pieces = talk.write

    def pressing(turn: Turn) -> Generator[str, None, None]:
        for number, piece in enumerate(pieces(turn)):
            if number == 2:
                os.kill(os.getpid(), signal.SIGINT)
            yield piece

    talk.write = pressing  # type: ignore[method-assign]
    previous = signal.getsignal(signal.SIGINT)
    made, _ = session(talk, is_live=True)
    made.run(["has he", "a"])
    assert len(talk.messages) == 4
    first = talk.messages[1]["content"]
    assert len(first) <= 3
    assert capsys.readouterr().out.split("\n")[0] == first
    assert signal.getsignal(signal.SIGINT) is previous


def test_ctrl_c_ends_a_pipe() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's & ignores it
    try:
        with pytest.raises(KeyboardInterrupt), stopping(is_live=False):
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_terminal_gets_no_control_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(shown, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdout", shown)
    write_piece("a\x1b[2Jb\n")
    assert shown.getvalue() == "a\\x1b[2Jb\n"


def test_a_stream_that_is_not_utf8_gets_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="ascii"))
    write_piece("aé")
    assert raw.getvalue() == b"a\\xe9"
