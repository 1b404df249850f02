"""A journal survives kills at any byte, and notices every other change."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from infinito.errors import ResumeError, SaveError
from infinito.sweeps.record.journal import VERSION, Journal, read

EVENTS = [{"event": "ask", "number": number, "name": "ñ"} for number in range(4)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with Journal(tmp_path / "sweep/journal.jsonl") as journal:
        journal.append(*EVENTS)
    return tmp_path / "sweep/journal.jsonl"


def test_events_are_read_back(path: Path) -> None:
    assert read(path) == [{"event": "journal", "version": VERSION}, *EVENTS]
    with Journal(path) as journal:
        journal.append({"event": "finish"})
        assert journal.events == read(path)
    assert read(path)[-1] == {"event": "finish"}


def test_a_last_line_torn_at_any_byte_is_repaired(path: Path) -> None:
    whole = path.read_bytes()
    start = whole[:-1].rfind(b"\n") + 1
    for size in range(start, len(whole)):
        path.write_bytes(whole[:size])
        assert read(path)[1:] == EVENTS[:-1]
        with Journal(path) as journal:
            assert journal.events[1:] == EVENTS[:-1]
            journal.append(EVENTS[-1])
        assert path.read_bytes() == whole


def test_a_journal_torn_in_its_first_line_is_empty(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20])
    with Journal(path) as journal:
        assert journal.events == []
        journal.append(EVENTS[0])
    assert read(path) == [{"event": "journal", "version": VERSION}, EVENTS[0]]


def test_any_altered_byte_in_the_middle_is_noticed(path: Path) -> None:
    whole = path.read_bytes()
    end = whole[:-1].rfind(b"\n")
    for place in range(0, end, 7):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        path.write_bytes(bytes(damaged))
        with pytest.raises(ResumeError, match="its checksum is wrong"):
            read(path)


@pytest.mark.parametrize("order", [(0, 1, 3, 4), (0, 2, 1, 3, 4), (1, 2, 3, 4)])
def test_missing_and_reordered_lines_are_noticed(path: Path, order: tuple[int, ...]) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[index] for index in order))
    with pytest.raises(ResumeError, match="its checksum is wrong"):
        Journal(path)


def test_a_newer_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infinito.sweeps.record.journal.VERSION", VERSION + 1)
    with Journal(tmp_path / "journal.jsonl") as journal:
        journal.append(EVENTS[0])
    monkeypatch.undo()
    with pytest.raises(ResumeError, match=f"of version {VERSION + 1}; .* reads version {VERSION}"):
        Journal(tmp_path / "journal.jsonl")


def test_two_writers_are_refused_and_a_reader_is_not(path: Path) -> None:
    with Journal(path) as journal:
        with pytest.raises(ResumeError, match="still running"):
            Journal(path)
        assert read(path) == journal.events
    Journal(path).close()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SaveError, match=r"hydra\.sweep\.dir="):
        Journal(tmp_path / "file/sweep/journal.jsonl")
    with pytest.raises(ResumeError, match="cannot be read"):
        read(tmp_path / "none.jsonl")


def _write_until_killed(path: Path) -> None:
    with Journal(path) as journal:
        for number in range(10_000):
            journal.append({"event": "ask", "number": number})
            if number == 50:
                os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_writer_leaves_its_events_and_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    writer = multiprocessing.get_context("spawn").Process(target=_write_until_killed, args=(path,))
    writer.start()
    writer.join()
    with Journal(path) as journal:
        assert [event["number"] for event in journal.events[1:]] == list(range(51))
