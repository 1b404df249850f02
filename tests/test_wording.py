"""Values, paths and near words as people read them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from infinito.wording import (
    describe_error,
    escape_controls,
    format_count,
    format_override_value,
    format_path,
    format_value,
    suggest,
)


def test_near_words_are_suggested_and_otherwise_all_are_listed() -> None:
    assert suggest("modle", ["model", "data"]) == "did you mean `model`?"
    assert suggest("x", ["model", "data"]) == "known: data, model"


def test_what_a_terminal_would_obey_is_written_out() -> None:
    """Escape sequences, reversed writing and half characters; line ends and tabs stay."""
    assert escape_controls("a\x1b[2Jb\u202ec\ud83d\n\té") == "a\\x1b[2Jb\\u202ec\\ud83d\n\té"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError("no server\nat all"), "no server."),
        (ValueError("  Log in!  "), "Log in!"),
        (RuntimeError(""), "RuntimeError."),
        (RuntimeError("\n"), "RuntimeError."),
    ],
)
def test_an_error_is_described_by_its_first_line_or_its_type(
    error: Exception, sentence: str
) -> None:
    assert describe_error(error) == sentence


@pytest.mark.parametrize(
    ("value", "written"),
    [(None, "null"), (True, "true"), (False, "false"), ([1, 2], "[1,2]"), (0.5, "0.5")],
)
def test_values_of_overrides_can_be_typed(value: Any, written: str) -> None:
    assert format_override_value(value) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "–"),
        (True, "yes"),
        (1234567, "1,234,567"),
        (1234.56, "1,234.6"),
        (0.123456, "0.1235"),
        ("l1", "l1"),
    ],
)
def test_values_are_short(value: Any, written: str) -> None:
    assert format_value(value) == written


def test_a_path_that_is_not_utf8_is_written_all_the_same() -> None:
    assert format_path(Path("runs/é")) == "runs/é"
    assert format_path(os.fsdecode(b"runs/\xe9")) == "runs/\\xe9"


def test_counts_have_a_plural() -> None:
    counts = [format_count(count, "trial") for count in (0, 1, 2, 1000)]
    assert counts == ["0 trials", "1 trial", "2 trials", "1,000 trials"]
