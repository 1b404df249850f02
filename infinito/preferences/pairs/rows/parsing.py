"""A row made into a pair, whichever of the usual forms it has.

`prompt`, `chosen` and `rejected` as text or as lists of messages; `chosen` and `rejected` as whole
conversations (messages) or whole dialogues (text), of which what they share is the prompt.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from infinito.preferences.pairs.text_pair import Messages, RowFault, TextPair, to_messages

HUMAN = "\n\nHuman:"
ASSISTANT = "\n\nAssistant:"
_TURN = re.compile(f"(?={re.escape(HUMAN)}|{re.escape(ASSISTANT)})")


def parse_row(row: Mapping[str, Any], number: int) -> TextPair:
    """The pair that a row holds.

    Args:
        row: Column names and values.
        number: The row's number, from 0.

    Raises:
        RowFault: a field is missing, null, of another type or empty; the answers are equal; the
            answers' conversations share no prompt.
    """
    chosen, rejected = (_read_field(row, name) for name in ("chosen", "rejected"))
    if type(chosen) is not type(rejected):
        raise RowFault(
            "mixed forms",
            "has text as one answer and messages as the other",
            "Give both in the same form",
        )
    if chosen == rejected:
        raise _identical()
    is_dialogue = "prompt" not in row and isinstance(chosen, str)
    if "prompt" in row:
        prompt = _read_field(row, "prompt")
        if not (isinstance(chosen, str) or isinstance(rejected, str)):
            prompt, chosen, rejected = _separate_prompt(prompt, chosen, rejected)
    elif isinstance(chosen, str) and isinstance(rejected, str):
        prompt, chosen, rejected = split_dialogues(chosen, rejected)
    else:
        prompt, chosen, rejected = split_conversations(chosen, rejected)  # type: ignore[arg-type]
    if not (isinstance(prompt, str) and isinstance(chosen, str)):
        prompt = to_messages(prompt, "user")
        chosen, rejected = to_messages(chosen, "assistant"), to_messages(rejected, "assistant")
    category, weight = row.get("category"), row.get("weight")
    return TextPair(
        prompt,
        chosen,
        rejected,
        None if category is None else str(category),
        number,
        _parse_weight(weight),
        is_dialogue,
    )


def split_dialogues(chosen: str, rejected: str) -> tuple[str, str, str]:
    """Prompt and answers of two whole dialogues, cut at the last turn boundary that they share.

    The turns are those of Anthropic's data, "\\n\\nHuman:" and "\\n\\nAssistant:". The longest
    common prefix of characters would be the wrong cut: answers often begin with the same words.

    Raises:
        RowFault: no such turns, or the dialogues part in what the human says.
    """
    ours, theirs = _TURN.split(chosen), _TURN.split(rejected)
    shared = 0
    while shared < min(len(ours), len(theirs)) and ours[shared] == theirs[shared]:
        shared += 1
    rest = ["".join(turns[shared:]) for turns in (ours, theirs)]
    if shared == 0 or not all(each.startswith(ASSISTANT) for each in rest):
        raise RowFault(
            "no shared prompt",
            "has no prompt, and its dialogues do not part in an answer of the assistant",
            "Add a prompt, or write turns as `\\n\\nHuman: …\\n\\nAssistant: …`",
        )
    answers = [each.removeprefix(ASSISTANT) for each in rest]
    for name, answer in zip(("chosen", "rejected"), answers, strict=True):
        if not answer.strip():
            raise _empty(name)
    return "".join(ours[:shared]) + ASSISTANT, answers[0], answers[1]


def split_conversations(
    chosen: Messages, rejected: Messages
) -> tuple[Messages, Messages, Messages]:
    """Prompt and answers of two whole conversations, cut after the last message they share.

    Raises:
        RowFault: they share none, or part in what the user says.
    """
    shared = 0
    while shared < min(len(chosen), len(rejected)) and chosen[shared] == rejected[shared]:
        shared += 1
    rest = chosen[shared:], rejected[shared:]
    if shared == 0 or not all(each and each[0]["role"] == "assistant" for each in rest):
        raise RowFault(
            "no shared prompt",
            "has no prompt, and its conversations do not part in an answer of the assistant",
            "Add a prompt, or begin both with the same messages",
        )
    return chosen[:shared], rest[0], rest[1]


def _separate_prompt(
    prompt: str | Messages, chosen: Messages, rejected: Messages
) -> tuple[str | Messages, Messages, Messages]:
    """Prompt and answers, where answers may be whole conversations that repeat the prompt.

    Raises:
        RowFault: an answer begins with what the user says, which is not the prompt.
    """
    if all(each[0]["role"] == "assistant" for each in (chosen, rejected)):
        return prompt, chosen, rejected
    shared, *answers = split_conversations(chosen, rejected)
    asked = to_messages(prompt, "user")
    if shared[-len(asked) :] != asked:
        raise RowFault(
            "another prompt",
            "has conversations as answers that do not begin with its `prompt`",
            "Leave `prompt` out: what both conversations share is the prompt",
        )
    return shared, answers[0], answers[1]


def _read_field(row: Mapping[str, Any], name: str) -> str | Messages:
    if name not in row:
        raise RowFault(
            "missing field",
            f"lacks `{name}` (it has {', '.join(map(str, row)) or 'nothing'})",
            "Expected prompt, chosen and rejected",
        )
    value = row[name]
    if value is None:
        raise RowFault("null field", f"has null as `{name}`", "Give it text or leave the row out")
    if isinstance(value, str):
        if not value.strip():
            raise _empty(name)
        return value
    if isinstance(value, list | tuple):
        return _parse_messages(name, value)
    raise RowFault(
        "not text",
        f"has {type(value).__name__} as `{name}`",
        "Expected text or a list of messages",
    )


def _parse_messages(name: str, values: Any) -> Messages:
    if not values:
        raise _empty(name)
    for value in values:
        is_message = isinstance(value, Mapping) and all(
            isinstance(value.get(key), str) for key in ("role", "content")
        )
        if not is_message:
            raise RowFault(
                "not a message",
                f"has {value!r:.60} in `{name}`",
                'A message is {"role": "user", "content": "…"}',
            )
        if not value["content"].strip():
            raise _empty(name)
    return tuple({"role": each["role"], "content": each["content"]} for each in values)


def _parse_weight(value: Any) -> float:
    if value is None:
        return 1.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise RowFault("weight", f"has `weight`={value!r}", "Expected a finite number above 0")
    return float(value)


def _empty(name: str) -> RowFault:
    return RowFault("empty field", f"has an empty `{name}`", "Give it text or leave the row out")


def _identical() -> RowFault:
    return RowFault(
        "identical answers", "has equal `chosen` and `rejected`", "A pair needs two answers"
    )
