"""Rows of ShareGPT's and LLaMA-Factory's shapes are the pairs that they stand for."""

from __future__ import annotations

from typing import Any

import pytest

from infinito.data.conversations.rows.faults import RowFault
from infinito.preferences.pairs.rows.parsing import parse_row

USER = {"role": "user", "content": "Hi"}
GOOD = {"role": "assistant", "content": "Hello!"}
BAD = {"role": "assistant", "content": "What?"}
SYSTEM = {"role": "system", "content": "Be kind."}
HUMAN, GPT, OTHER = (
    {"from": speaker, "value": message["content"]}
    for speaker, message in (("human", USER), ("gpt", GOOD), ("gpt", BAD))
)


@pytest.mark.parametrize(
    "row",
    [
        {"conversations": [HUMAN], "chosen": GPT, "rejected": OTHER},
        {"conversations": [HUMAN], "chosen": [GPT], "rejected": [OTHER]},
        {"conversations": [HUMAN], "chosen": "Hello!", "rejected": "What?"},
        {"messages": [USER], "chosen": GOOD, "rejected": BAD},
        {"chosen": [HUMAN, GPT], "rejected": [HUMAN, OTHER]},
        {"chosen": [HUMAN, GPT], "rejected": [HUMAN, OTHER], "messages": [HUMAN, GPT]},
        {"prompt": [HUMAN], "chosen": [GPT], "rejected": [OTHER]},
    ],
)
def test_conversations(row: dict[str, Any]) -> None:
    pair = parse_row(row, 0)
    assert (pair.prompt, pair.chosen, pair.rejected) == ((USER,), (GOOD,), (BAD,))


def test_instruction_and_input_are_the_prompt() -> None:
    row = {"instruction": "Add", "input": "1 2", "chosen": "3", "rejected": "4"}
    assert parse_row(row, 0).prompt == "Add\n1 2"
    assert parse_row({**row, "input": ""}, 0).prompt == "Add"
    pair = parse_row({**row, "history": [["Hi", "Hello!"]]}, 0)
    assert pair.prompt == (USER, GOOD, {"role": "user", "content": "Add\n1 2"})
    assert pair.chosen == ({"role": "assistant", "content": "3"},)


def test_a_system_column_opens_the_conversation() -> None:
    row = {"prompt": "Hi", "chosen": "Hello!", "rejected": "What?", "system": "Be kind."}
    assert parse_row(row, 0).prompt == (SYSTEM, USER)
    assert parse_row({**row, "prompt": [SYSTEM, USER]}, 0).prompt == (SYSTEM, USER)
    assert parse_row({**row, "system": ""}, 0).prompt == "Hi"
    with pytest.raises(RowFault, match="differs from the system message of its prompt"):
        parse_row({**row, "prompt": [SYSTEM, USER], "system": "Be rude."}, 0)
    dialogue = "\n\nHuman: Hi\n\nAssistant:"
    with pytest.raises(RowFault, match="beside a dialogue"):
        parse_row({"chosen": f"{dialogue} a", "rejected": f"{dialogue} b", "system": "x"}, 0)


def test_tools_are_kept_whether_they_are_objects_or_text() -> None:
    row = {"prompt": "Hi", "chosen": "Hello!", "rejected": "What?"}
    for tools in ([{"name": "add"}], '[{"name": "add"}]'):
        pair = parse_row({**row, "tools": tools}, 0)
        assert pair.tools == ({"name": "add"},)
        assert pair.prompt == (USER,)
    with pytest.raises(RowFault, match="has 'add' in `tools`, which is not JSON"):
        parse_row({**row, "tools": "add"}, 0)
    with pytest.raises(RowFault, match="as `tools`"):
        parse_row({**row, "tools": [3]}, 0)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"images": ["a.png"]}, "has `images`, which infinito cannot show a model"),
        ({"instruction": 3}, "has an `instruction` or `input` that is not text"),
        ({"instruction": "a", "history": ["b"]}, "has 'b' in `history`"),
        ({"system": 3, "prompt": "a"}, "has int as `system`"),
    ],
)
def test_what_stands_for_no_pair(row: dict[str, Any], message: str) -> None:
    with pytest.raises(RowFault, match=message):
        parse_row({**row, "chosen": "a", "rejected": "b"}, 0)


def test_answers_may_differ_in_their_tool_calls_alone() -> None:
    calls = [{"function": {"name": "add", "arguments": {"a": n}}} for n in (1, 2)]
    chosen, rejected = (
        [{"role": "assistant", "content": "", "tool_calls": [call]}] for call in calls
    )
    pair = parse_row({"prompt": "Hi", "chosen": chosen, "rejected": rejected}, 0)
    assert pair.chosen != pair.rejected
    with pytest.raises(RowFault, match="has equal `chosen` and `rejected`"):
        parse_row({"prompt": "Hi", "chosen": chosen, "rejected": chosen}, 0)
