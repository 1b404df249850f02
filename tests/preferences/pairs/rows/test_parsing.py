"""Rows of all forms become pairs; rows that cannot say which field and what mends it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from infinito.data.conversations.rows.faults import RowFault
from infinito.preferences.pairs.rows.parsing import parse_row
from infinito.preferences.pairs.rows.splitting import split_dialogues

USER = {"role": "user", "content": "Hi"}
GOOD = {"role": "assistant", "content": "Hello!"}
BAD = {"role": "assistant", "content": "What?"}
STRINGS = {"prompt": "Hi", "chosen": "Hello!", "rejected": "What?"}


def test_text_with_category_and_weight() -> None:
    pair = parse_row({**STRINGS, "category": "tone", "weight": 2}, 7)
    assert (pair.prompt, pair.chosen, pair.rejected) == ("Hi", "Hello!", "What?")
    assert (pair.category, pair.weight, pair.row) == ("tone", 2.0, 7)


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]},
        {"prompt": "Hi", "chosen": [GOOD], "rejected": [BAD]},
        {"prompt": [USER], "chosen": "Hello!", "rejected": "What?"},
        {"chosen": [USER, GOOD], "rejected": [USER, BAD]},
        {"prompt": "Hi", "chosen": [USER, GOOD], "rejected": [USER, BAD]},
        {"prompt": [USER], "chosen": [USER, GOOD], "rejected": [USER, BAD]},
    ],
)
def test_messages_in_every_mixture(row: dict[str, Any]) -> None:
    pair = parse_row(row, 0)
    assert (pair.prompt, pair.chosen, pair.rejected) == ((USER,), (GOOD,), (BAD,))


def test_only_dialogues_have_turns() -> None:
    start = "\n\nHuman: a\n\nAssistant:"
    assert parse_row({"chosen": f"{start} b", "rejected": f"{start} c"}, 0).has_turns
    assert not parse_row(STRINGS, 0).has_turns


def test_dialogues_part_at_a_turn_not_at_a_letter() -> None:
    """Both answers begin "I ", which belongs to the answers, not to the prompt."""
    start = "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant:"
    assert split_dialogues(f"{start} I do", f"{start} I did") == (start, " I do", " I did")


def test_dialogues_that_part_in_an_earlier_answer_keep_the_rest_as_the_answer() -> None:
    prompt = "\n\nHuman: a\n\nAssistant:"
    rest = " b\n\nHuman: c\n\nAssistant: d"
    assert split_dialogues(prompt + " x", prompt + rest) == (prompt, " x", rest)


@pytest.mark.parametrize(
    ("chosen", "rejected"),
    [
        ("no turns", "at all"),
        ("\n\nHuman: a\n\nAssistant: b", "\n\nHuman: z\n\nAssistant: c"),
    ],
)
def test_dialogues_without_a_shared_prompt(chosen: str, rejected: str) -> None:
    with pytest.raises(RowFault, match="do not part in an answer"):
        split_dialogues(chosen, rejected)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"prompt": None}, "null field", "has null as `prompt`"),
        ({"chosen": 3}, "not text", "has int as `chosen`"),
        ({"rejected": " \n"}, "empty field", "has an empty `rejected`"),
        ({"prompt": ""}, "empty field", "has an empty `prompt`"),
        ({"chosen": "What?"}, "identical answers", "has equal"),
        ({"weight": float("inf")}, "weight", "has `weight`=inf"),
        (
            {"chosen": [USER, GOOD], "rejected": [USER, BAD], "prompt": "Bye"},
            "another prompt",
            "do not begin with its `prompt`",
        ),
        ({"chosen": [USER], "rejected": [USER, BAD]}, "no shared prompt", "do not part"),
        ({"chosen": [GOOD]}, "mixed forms", "messages as the other"),
        ({"prompt": []}, "empty field", "has an empty `prompt`"),
        ({"prompt": [{"role": "user"}]}, "not a message", "in `prompt`"),
        ({"weight": -1}, "weight", "`weight`=-1"),
        (
            {"prompt": [USER], "chosen": [GOOD, USER], "rejected": [BAD]},
            "no answer",
            "has the user's turn at the end of `chosen`",
        ),
        (
            {"chosen": [USER, GOOD], "rejected": [USER, BAD, USER]},
            "no answer",
            "has the user's turn at the end of `rejected`",
        ),
    ],
)
def test_bad_rows(change: dict[str, Any], kind: str, message: str) -> None:
    with pytest.raises(RowFault, match=message) as caught:
        parse_row({**STRINGS, **change}, 0)
    assert caught.value.kind == kind
    assert caught.value.mend


def test_a_missing_field_is_named_with_what_is_there() -> None:
    with pytest.raises(RowFault, match=r"lacks `rejected` \(it has prompt, chosen\)"):
        parse_row({"prompt": "a", "chosen": "b"}, 0)


def test_conversations_that_share_nothing() -> None:
    with pytest.raises(RowFault, match="do not part in an answer"):
        parse_row({"chosen": [USER, GOOD], "rejected": [GOOD, USER]}, 0)


def test_real_dialogues_part_where_an_answer_begins(shared_data: Path) -> None:
    """Of 2354, 9 part before the last turn, 4 have an empty answer, 2 equal ones.

    A character prefix would cut into 18 % of the answers.
    """
    path = shared_data / "hh-rlhf/helpful-base/test.jsonl.gz"
    last_turn = refused = 0
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            try:
                prompt, chosen, rejected = split_dialogues(row["chosen"], row["rejected"])
            except RowFault:
                refused += 1
                continue
            assert prompt.endswith("\n\nAssistant:")
            assert (prompt + chosen, prompt + rejected) == (row["chosen"], row["rejected"])
            last_turn += "\n\nAssistant:" not in chosen + rejected
    assert (last_turn, refused) == (2354 - 9 - 6, 6)
