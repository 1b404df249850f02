"""Splits whole dialogues and conversations into the prompt that they share and their answers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from infinito.data.conversations.rendering.messages import Messages, to_messages
from infinito.data.conversations.rows.faults import RowFault
from infinito.data.conversations.rows.messages import empty_field

HUMAN = "\n\nHuman:"
ASSISTANT = "\n\nAssistant:"
_TURN = re.compile(f"(?={re.escape(HUMAN)}|{re.escape(ASSISTANT)})")


def split_dialogues(chosen: str, rejected: str) -> tuple[str, str, str]:
    """Return prompt and answers of two whole dialogues, cut at the last turn that they share.

    The turns are those of Anthropic's data, "\\n\\nHuman:" and "\\n\\nAssistant:". The longest
    common prefix of characters would be the wrong cut: answers often begin with the same words.

    Raises:
        RowFault: no such turns, or the dialogues differ first in what the human says.
    """
    ours, theirs = _TURN.split(chosen), _TURN.split(rejected)
    shared = _count_shared(ours, theirs)
    rest = ["".join(turns[shared:]) for turns in (ours, theirs)]
    if shared == 0 or not all(each.startswith(ASSISTANT) for each in rest):
        raise RowFault(
            "no shared prompt",
            "has no prompt, and its dialogues do not part in an answer of the assistant",
            "Name the prompt `prompt`, or write turns as `\\n\\nHuman: …\\n\\nAssistant: …`",
        )
    answers = [each.removeprefix(ASSISTANT) for each in rest]
    for name, answer in zip(("chosen", "rejected"), answers, strict=True):
        if not answer.strip():
            raise empty_field(name)
    return "".join(ours[:shared]) + ASSISTANT, answers[0], answers[1]


def split_conversations(
    chosen: Messages, rejected: Messages
) -> tuple[Messages, Messages, Messages]:
    """Return prompt and answers of two conversations, cut after the last message they share.

    Raises:
        RowFault: they share none, or differ first in what the user says.
    """
    shared = _count_shared(chosen, rejected)
    rest = chosen[shared:], rejected[shared:]
    if shared == 0 or not all(each and each[0]["role"] == "assistant" for each in rest):
        raise RowFault(
            "no shared prompt",
            "has no prompt, and its conversations do not part in an answer of the assistant",
            "Add a prompt, or begin both with the same messages",
        )
    return chosen[:shared], rest[0], rest[1]


def drop_prompt(
    prompt: str | Messages, chosen: Messages, rejected: Messages
) -> tuple[str | Messages, Messages, Messages]:
    """Return prompt and answers, where answers may be whole conversations that repeat the prompt.

    Raises:
        RowFault: the conversations begin with something else than the prompt.
    """
    if all(each[0]["role"] == "assistant" for each in (chosen, rejected)):
        return prompt, chosen, rejected
    shared, *answers = split_conversations(chosen, rejected)
    expected = to_messages(prompt, "user")
    if shared[-len(expected) :] != expected:
        raise RowFault(
            "another prompt",
            "has conversations as answers that do not begin with its `prompt`",
            "Leave `prompt` out: what both conversations share is the prompt",
        )
    return shared, answers[0], answers[1]


def _count_shared(ours: Sequence[Any], theirs: Sequence[Any]) -> int:
    shared = 0
    while shared < min(len(ours), len(theirs)) and ours[shared] == theirs[shared]:
        shared += 1
    return shared
