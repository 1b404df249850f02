"""A moving line on the terminal while the program loads: the standard library alone, so at once."""

from __future__ import annotations

import os
import sys
import threading

FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
EVERY_S = 0.1
ERASE = "\r\x1b[K"

_ended = threading.Event()
_threads: list[threading.Thread] = []


def begin(text: str) -> None:
    """Show a text with a moving sign on standard error, if that is a terminal.

    Processes that another one has started for a data-parallel training show nothing.

    Args:
        text: What the program does.
    """
    is_first = os.environ.get("LOCAL_RANK", "0") == os.environ.get("RANK", "0") == "0"
    completes = "COMP_LINE" in os.environ  # the shell reads what is printed
    if _threads or completes or not is_first or not sys.stderr.isatty():
        return
    _ended.clear()
    _show(text, 0)
    thread = threading.Thread(target=_move, args=(text,), name="sign of life", daemon=True)
    _threads.append(thread)
    thread.start()


def end() -> None:
    """Take the line away, before anything else is shown."""
    if _threads:
        _ended.set()
        _threads.pop().join()
        sys.stderr.write(ERASE)
        sys.stderr.flush()


def _move(text: str) -> None:
    frame = 1
    while not _ended.wait(EVERY_S):
        _show(text, frame)
        frame += 1


def _show(text: str, frame: int) -> None:
    try:
        sys.stderr.write(f"{ERASE}{FRAMES[frame % len(FRAMES)]} {text}")
        sys.stderr.flush()
    except UnicodeEncodeError:  # `refuse_other_encodings` says what is wrong
        _ended.set()
