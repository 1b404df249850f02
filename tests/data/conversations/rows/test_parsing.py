"""Rows of all shapes are the conversations that they stand for, or faults with a way out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infinito.data.conversations.rows.faults import RowFault
from infinito.data.conversations.rows.parsing import lacks_columns, parse_conversation

USER = {"role": "user", "content": "Hi"}
ANSWER = {"role": "assistant", "content": "Hello!"}
SYSTEM = {"role": "system", "content": "Be kind."}
HUMAN, GPT = {"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello!"}
PARTS = [{"type": "text", "text": "H"}, {"type": "text", "text": "i"}]
IMAGE = {"type": "image_url", "image_url": {"url": "x"}}
CALL = {"role": "assistant", "content": None, "tool_calls": [{"name": "add", "arguments": {}}]}


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [USER, ANSWER]},
        {"messages": json.dumps([USER, ANSWER])},
        {"conversations": [HUMAN, GPT]},
        {"prompt": "Hi", "completion": "Hello!"},
        {"prompt": [USER], "completion": [ANSWER]},
        {"prompt": [USER], "completion": ANSWER},
        {"instruction": "Hi", "input": "", "output": "Hello!"},
        {"instruction": "Hi", "output": "Hello!", "text": "the whole prompt of Alpaca's files"},
        {
            "messages": [
                {**USER, "content": [{"type": "text", "text": "H"}, {"type": "text", "text": "i"}]},
                ANSWER,
            ]
        },
    ],
)
def test_every_shape_is_the_same_conversation(row: dict[str, Any]) -> None:
    found = parse_conversation(row, 3)
    assert found.messages == (USER, ANSWER)
    assert found.row == 3
    assert found.prompt == (USER,)


def test_alpacas_input_follows_the_instruction() -> None:
    row = {"instruction": "Add.", "input": "1 2", "output": "3", "system": "Be kind."}
    system, user, answer = parse_conversation(row, 0).messages
    assert system == SYSTEM
    assert user["content"] == "Add.\n\n1 2"
    assert answer["content"] == "3"


def test_only_text_is_text() -> None:
    assert parse_conversation({"prompt": "Hi", "completion": "Hello!"}, 0).is_text
    assert not parse_conversation({"prompt": "Hi", "completion": [ANSWER]}, 0).is_text
    assert not parse_conversation(
        {"prompt": "Hi", "completion": "x", "system": "Be kind."}, 0
    ).is_text


def test_a_system_column_begins_the_conversation() -> None:
    found = parse_conversation({"messages": [USER, ANSWER], "system": "Be kind."}, 0)
    assert found.messages == (SYSTEM, USER, ANSWER)


def test_tools_calls_and_reasoning_are_kept() -> None:
    tool = {"role": "tool", "content": "3"}
    last = {**ANSWER, "reasoning_content": "hm"}
    row = {"messages": [USER, CALL, tool, last], "tools": '[{"name": "add"}]'}
    found = parse_conversation(row, 0)
    assert found.tools == ({"name": "add"},)
    assert found.messages[1]["tool_calls"][0]["function"]["name"] == "add"
    assert found.messages[3]["reasoning_content"] == "hm"


@pytest.mark.parametrize(
    ("row", "fault", "mend"),
    [
        ({"messages": [USER]}, "has no turn of the assistant", "Add the answer"),
        ({"messages": [USER, ANSWER, USER]}, "ends with the user's turn", "leave that turn out"),
        ({"messages": [ANSWER]}, "begins with the assistant's turn", "Begin with the user's"),
        ({"messages": [SYSTEM, ANSWER, USER, ANSWER]}, "begins with the assistant's", "Begin"),
        (
            {"messages": [USER, {**ANSWER, "content": " "}]},
            "has nothing in turn 2 of `messages`, the assistant's",
            "Give it text",
        ),
        ({"prompt": "Hi", "completion": ""}, "has an empty `completion`", "Give it text"),
        ({"prompt": None, "completion": "a"}, "has null as `prompt`", "Give it text"),
        (
            {"messages": [USER, {**ANSWER, "role": "bot"}]},
            "has 'bot' as the role of turn 2",
            "Roles are",
        ),
        (
            {"conversations": [HUMAN, {**GPT, "from": "alien"}]},
            "has a message from 'alien'",
            "Speakers are",
        ),
        (
            {"messages": [{**USER, "content": [IMAGE]}, ANSWER]},
            "has image_url as a part of turn 1",
            "as text",
        ),
        (
            {"messages": [USER, {**ANSWER, "content": "\ud83d"}]},
            "has half a character",
            "both halves",
        ),
        ({"messages": 3}, "has int as `messages`", "Expected a list"),
        ({"messages": []}, "has an empty `messages`", "Give it text"),
        ({"messages": "no JSON"}, "which is not JSON", "Write it as JSON"),
        ({"instruction": "a", "output": None}, "`output`", ""),
        ({"instruction": " ", "output": "a"}, "`instruction`", ""),
        ({"instruction": ["a"], "output": "a"}, "has list as `instruction`", "Expected text"),
        ({"instruction": "a", "input": 3, "output": "a"}, "has int as `input`", "Expected text"),
        ({"instruction": "a", "output": "\ud83d"}, "half a character", ""),
        ({"text": "a"}, r"lacks `messages` \(it has text\)", "or prompt and completion"),
        ({"prompt": "a"}, r"lacks `messages` \(it has prompt\)", "prompt and completion"),
        (
            {"messages": [USER, ANSWER], "images": ["x"]},
            "has `images`, which",
            "Take the column out",
        ),
    ],
)
def test_what_cannot_be_learned_is_a_fault_with_a_mend(
    row: dict[str, Any], fault: str, mend: str
) -> None:
    with pytest.raises(RowFault, match=fault) as caught:
        parse_conversation(row, 0)
    assert mend in caught.value.mend


def test_deep_nesting_is_a_fault() -> None:
    deep: Any = "a"
    for _ in range(10_000):
        deep = [deep]
    with pytest.raises(RowFault, match="nested too deeply"):
        parse_conversation({"messages": [USER, {**ANSWER, "tool_calls": [{"a": deep}]}]}, 0)


def test_columns_of_a_table_tell_whether_it_holds_conversations() -> None:
    assert lacks_columns(["messages", "id"]) is None
    assert lacks_columns(["prompt", "completion"]) is None
    assert lacks_columns(["prompt", "chosen"]) is not None
