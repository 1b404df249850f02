"""Parses a row into a pair of text, whichever of the usual shapes the row has.

`prompt`, `chosen` and `rejected` as text or as messages; `chosen` and `rejected` as whole
conversations (messages) or whole dialogues (text), whose shared beginning is the prompt.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from infinito.data.conversations.rendering.messages import Messages, to_messages
from infinito.data.conversations.rows.columns import (
    parse_system,
    parse_tools,
    prepend_system,
    refuse_unsupported,
)
from infinito.data.conversations.rows.faults import RowFault
from infinito.data.conversations.rows.json_text import nested_too_deeply
from infinito.data.conversations.rows.messages import (
    empty_field,
    null_field,
    parse_messages,
    require_text,
)
from infinito.preferences.pairs.rows.columns import lacks_columns
from infinito.preferences.pairs.rows.shapes import find_prompt
from infinito.preferences.pairs.rows.splitting import (
    drop_prompt,
    split_conversations,
    split_dialogues,
)
from infinito.preferences.pairs.text_pair import TextPair


def parse_row(row: Mapping[str, Any], number: int) -> TextPair:
    """Return the pair that a row holds.

    Args:
        row: Column names and values.
        number: The row's number, from 0.

    Raises:
        RowFault: a field is missing, null, empty, of another type or not Unicode; the answers are
            equal or end with the user's turn; the answers' conversations share no prompt; a column
            would be dropped.
    """
    try:
        return _parse(row, number)
    except RecursionError:
        raise nested_too_deeply() from None


def _parse(row: Mapping[str, Any], number: int) -> TextPair:
    refuse_unsupported(row)
    if fault := lacks_columns(row):
        raise fault
    chosen, rejected = (_parse_field(name, row[name]) for name in ("chosen", "rejected"))
    if type(chosen) is not type(rejected):
        raise RowFault(
            "mixed forms",
            "has text as one answer and messages as the other",
            "Give both in the same form",
        )
    if chosen == rejected:
        raise RowFault(
            "identical answers", "has equal `chosen` and `rejected`", "A pair needs two answers"
        )
    prompt = find_prompt(row)
    is_dialogue = prompt is None and isinstance(chosen, str)
    if prompt is not None:
        prompt = _parse_field("prompt", prompt)
        if not (isinstance(chosen, str) or isinstance(rejected, str)):
            prompt, chosen, rejected = drop_prompt(prompt, chosen, rejected)
    elif isinstance(chosen, str) and isinstance(rejected, str):
        prompt, chosen, rejected = split_dialogues(chosen, rejected)
    else:
        prompt, chosen, rejected = split_conversations(chosen, rejected)  # type: ignore[arg-type]
    system, tools = parse_system(row.get("system")), parse_tools(row.get("tools"))
    if is_dialogue and (system or tools):
        raise RowFault(
            "unsupported column",
            "has `system` or `tools` beside a dialogue of Human: and Assistant: turns, which no "
            "chat template is put around",
            "Write the dialogue as messages",
        )
    if system or tools or not (isinstance(prompt, str) and isinstance(chosen, str)):
        prompt = prepend_system(system, to_messages(prompt, "user"))
        chosen, rejected = to_messages(chosen, "assistant"), to_messages(rejected, "assistant")
        for name, answer in (("chosen", chosen), ("rejected", rejected)):
            _refuse_question(name, answer)
    category, weight = _parse_category(row.get("category")), _parse_weight(row.get("weight"))
    return TextPair(prompt, chosen, rejected, category, number, weight, is_dialogue, tools)


def _refuse_question(name: str, answer: Messages) -> None:
    """Refuse an answer that ends with the user's words, which a model would learn to write."""
    if answer[-1]["role"] == "user":
        raise RowFault(
            "no answer",
            f"has the user's turn at the end of `{name}`",
            "End it with the assistant's answer, or leave that turn out",
        )


def _parse_field(name: str, value: Any) -> str | Messages:
    if value is None:
        raise null_field(name)
    if isinstance(value, str):
        if not value.strip():
            raise empty_field(name)
        return require_text(name, value)
    if isinstance(value, list | tuple | Mapping):
        return parse_messages(name, value)
    raise RowFault(
        "not text",
        f"has {type(value).__name__} as `{name}`",
        "Expected text or a list of messages",
    )


def _parse_category(value: Any) -> str | None:
    return None if value is None else require_text("category", str(value))


def _parse_weight(value: Any) -> float:
    if value is None:
        return 1.0
    try:
        number = math.nan if isinstance(value, bool | str) else float(value)
    except (TypeError, ValueError, OverflowError):  # an integer may have any number of digits
        number = math.nan
    if not 0 < number < math.inf:
        shown = f"{value!r:.40}" if not isinstance(value, Decimal) else str(value)
        raise RowFault("weight", f"has `weight`={shown}", "Expected a finite number above 0")
    return number
