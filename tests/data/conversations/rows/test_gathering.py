"""Rows of a file, good and bad, and prompts that are held out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infinito.data.conversations.rows.faults import BadRow, RowFault, TooLong
from infinito.data.conversations.rows.gathering import (
    find_longest,
    gather_made,
    gather_rows,
    hold_out_prompts,
)
from infinito.data.conversations.rows.parsing import CHAT_ROWS
from infinito.errors import DataError


@dataclass(frozen=True)
class Word:
    """What a row holds here."""

    row: int
    text: str


def parse(row: dict[str, Any], number: int) -> Word:
    if row["text"] == "bad":
        raise RowFault("bad", "is bad", "Leave it out")
    return Word(number, row["text"])


def upper(word: Word) -> str:
    if len(word.text) > 3:
        raise TooLong("long", "is long", len(word.text), None)
    return word.text.upper()


def test_rows_keep_their_numbers_where_others_fail(tmp_path: Path) -> None:
    lines = [json.dumps({"text": text}) for text in ("one", "bad", "three", "four", "end")]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join([*lines[:3], "{", *lines[3:]]))
    words, bad = gather_rows(str(path), CHAT_ROWS, parse, "train", 5, None, "data.path")
    assert [(each.row, each.text) for each in words] == [(0, "one"), (2, "three"), (4, "four")]
    assert [(each.row, each.kind) for each in bad] == [(1, "bad"), (3, "not JSON")]
    made, bad = gather_made(words, upper, bad)
    assert made == ["ONE"]
    assert [each.row for each in bad] == [1, 2, 3, 4]
    assert find_longest(bad) == 5
    assert find_longest(bad[:1], []) is None


def test_the_same_prompts_are_held_out_however_often_they_come() -> None:
    prompts = [f"prompt {number}" for number in range(20)]
    held = hold_out_prompts(prompts, 0.25, "a file", "pair", 8)
    assert len(held) == 5
    assert hold_out_prompts([*reversed(prompts), *prompts], 0.25, "a file", "pair", 8) == held
    assert hold_out_prompts(prompts, 0.25, "a file", "pair", 64) != held


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_a_side_without_prompts_is_refused(share: float) -> None:
    with pytest.raises(DataError, match=r"a file has 9 different prompts.*give held-out pairs by"):
        hold_out_prompts(map(str, range(9)), share, "a file", "pair", 8)


def test_a_bad_row_before_stays() -> None:
    before = BadRow(7, "bad", "is bad", "Leave it out")
    assert gather_made([Word(3, "a")], upper, [before]) == (["A"], [before])
