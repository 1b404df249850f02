"""Messages of every dialect become those of chat templates, with their tool calls and reasoning."""

from __future__ import annotations

from typing import Any

import pytest

from infinito.data.conversations.rows.faults import RowFault
from infinito.data.conversations.rows.messages import parse_messages

CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}


def parse(*values: Any) -> tuple[dict[str, Any], ...]:
    return parse_messages("chosen", list(values))


def test_one_message_alone_is_a_list_of_one() -> None:
    message = {"role": "user", "content": "Hi"}
    assert parse_messages("prompt", message) == parse(message) == (message,)


@pytest.mark.parametrize(
    ("speaker", "role"),
    [("human", "user"), ("gpt", "assistant"), ("observation", "tool"), ("system", "system")],
)
def test_speakers_of_sharegpt(speaker: str, role: str) -> None:
    assert parse({"from": speaker, "value": "Hi"}) == ({"role": role, "content": "Hi"},)
    with pytest.raises(RowFault, match="a message from 'alien'"):
        parse({"from": "alien", "value": "Hi"})


@pytest.mark.parametrize(
    "calls",
    [
        [CALL],
        [{"function": {"name": "add", "arguments": '{"a": 1}'}}],
        '[{"name": "add", "arguments": {"a": 1}}]',
    ],
    ids=["objects", "arguments_as_text", "all_as_text"],
)
def test_tool_calls_are_objects(calls: Any) -> None:
    expected = {"role": "assistant", "content": "", "tool_calls": [CALL]}
    assert parse({"role": "assistant", "content": None, "tool_calls": calls}) == (expected,)


def test_a_function_call_of_sharegpt_is_a_tool_call() -> None:
    value = '{"name": "add", "arguments": {"a": 1}}'
    assert parse({"from": "function_call", "value": value})[0]["tool_calls"] == [CALL]


def test_reasoning_is_kept_and_other_keys_are_not() -> None:
    message = {"role": "assistant", "content": "4", "reasoning_content": "2 + 2"}
    assert parse({**message, "time": 3, "thinking": None}) == (message,)


def test_who_may_say_nothing() -> None:
    user = {"role": "user", "content": "Hi"}
    system, tool = ({"role": role, "content": ""} for role in ("system", "tool"))
    assert parse(system, user, tool) == (system, user, tool)
    with pytest.raises(RowFault, match="has an empty `chosen`"):
        parse(system)
    for silent in ({**user, "content": " "}, {"role": "assistant", "content": ""}):
        of_role = f"has nothing in turn 2 of `chosen`, the {silent['role']}'s"
        with pytest.raises(RowFault, match=of_role):
            parse(user, silent)


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        ({"role": "user"}, "has .* in `chosen`"),
        ("Hi", "has 'Hi' in `chosen`"),
        ({"role": "assistant", "tool_calls": "{"}, "which is not JSON"),
        ({"role": "assistant", "tool_calls": [3]}, "has 3 as a tool call"),
        ({"role": "user", "content": "\ud83d"}, "half a character"),
        ({"role": "assistant", "tool_calls": [{"name": "\ud83d"}]}, "half a character"),
    ],
)
def test_what_is_no_message(message: Any, fault: str) -> None:
    with pytest.raises(RowFault, match=fault):
        parse(message)


def test_parts_of_text_are_one_text_and_others_are_refused() -> None:
    """OpenAI's clients may write a message as a list of parts."""
    parts = [{"type": "text", "text": "Hi "}, {"type": "text", "text": "you", "url": None}]
    assert parse({"role": "user", "content": parts}) == ({"role": "user", "content": "Hi you"},)
    for other, kind in (({"type": "image_url", "image_url": "x"}, "image_url"), ("text", "str")):
        with pytest.raises(RowFault, match=f"has a part of type '{kind}' in `chosen`"):
            parse({"role": "user", "content": [*parts, other]})
