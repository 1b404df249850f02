"""How values and near words are written for people."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def suggest(word: str, known: Iterable[str]) -> str:
    """Return the nearest known words as a question, or all known words where none is near."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=3, cutoff=0.5)
    return f"did you mean `{'` or `'.join(near)}`?" if near else f"known: {', '.join(names)}"


_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that change how a terminal writes what follows, and halves of characters."""


def escape_controls(text: str) -> str:
    r"""Return text with control characters and lone surrogates written as `\x1b`, `\ud83d`.

    Line ends and tabs stay.
    """
    return _CONTROLS.sub(lambda found: ascii(found.group())[1:-1], text)


def describe_error(error: BaseException) -> str:
    """Return the first line of an error's message as a sentence; its type where it has none."""
    text = str(error).strip() or type(error).__name__
    line = escape_controls(text.splitlines()[0])
    return line if line.endswith((".", "!", "?")) else f"{line}."


def format_override_value(value: Any) -> str:
    """Return a value as one types it in an override."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value).replace(" ", "") if isinstance(value, list) else str(value)


def format_value(value: Any) -> str:
    """Return a value as people read it."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"
    return str(value)


def format_count(count: int, noun: str) -> str:
    """Return how many of a thing there are: "1 trial", "2 trials"."""
    return f"{format_value(count)} {noun}{'s' * (count != 1)}"


def format_path(path: Path | str) -> str:
    r"""Return a path as text; bytes of it that are not UTF-8 are written as `\xe9`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
