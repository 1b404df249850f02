"""Parses the rows of files of conversations.

A row is a list of `messages` (`role`, `content`), a list of `conversations` in ShareGPT's shape
(`from`, `value`), a `prompt` and a `completion`, each text or messages, or an `instruction`, an
`input` that may be absent or empty, and an `output` in Alpaca's shape. `system` and `tools` may
stand beside any of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from infinito.data.conversations.conversation import TextConversation
from infinito.data.conversations.rendering.messages import Messages, to_messages
from infinito.data.conversations.rows.columns import (
    UNSUPPORTED,
    parse_system,
    parse_tools,
    prepend_system,
    refuse_unsupported,
)
from infinito.data.conversations.rows.faults import RowFault
from infinito.data.conversations.rows.json_text import nested_too_deeply
from infinito.data.conversations.rows.kinds import RowKind
from infinito.data.conversations.rows.messages import (
    empty_field,
    null_field,
    parse_json,
    parse_messages,
    require_text,
)

ROLES = ("system", "developer", "user", "assistant", "tool")
"""Roles that a message may have."""

INSTRUCTS = ("system", "developer")
"""Roles that may speak before the user does."""

WHOLE = ("messages", "conversations")
"""Columns that hold a whole conversation."""

PARTS = ("prompt", "completion")
"""Columns that hold a conversation in two parts."""

ALPACA = ("instruction", "output")
"""Columns of a question with its answer, beside which `input` has what the question is about."""


def lacks_columns(names: Iterable[Any]) -> RowFault | None:
    """Return the fault of a row that holds no conversation, with the names that it has."""
    known = list(map(str, names))
    whole = any(name in known for name in WHOLE)
    if whole or any(all(name in known for name in names) for names in (PARTS, ALPACA)):
        return None
    return RowFault(
        "missing field",
        f"lacks `messages` (it has {', '.join(known) or 'nothing'})",
        f"Expected {CHAT_ROWS.keys}",
    )


CHAT_ROWS = RowKind(
    "conversation",
    frozenset({*WHOLE, *PARTS, *ALPACA, "input", "system", "tools", *UNSUPPORTED}),
    lacks_columns,
    "messages, or conversations, or prompt and completion, or instruction and output",
    "trl-lib/Capybara",
)
"""Rows that are conversations."""


def parse_conversation(row: Mapping[str, Any], number: int) -> TextConversation:
    """Return the conversation that a row holds.

    Args:
        row: Column names and values.
        number: The row's number, from 0.

    Raises:
        RowFault: a field is missing, null, empty, of another type or not Unicode; a role is
            unknown; a content is not text; the conversation does not begin with the user or does
            not end with the assistant; a column would be dropped.
    """
    try:
        return _parse(row, number)
    except RecursionError:
        raise nested_too_deeply() from None


def _parse(row: Mapping[str, Any], number: int) -> TextConversation:
    refuse_unsupported(row)
    if fault := lacks_columns(row):
        raise fault
    name = next((name for name in WHOLE if name in row), None)
    if name is None and not all(part in row for part in PARTS):
        row = _translate_alpaca(row)
    is_text = name is None and all(isinstance(row[part], str) for part in PARTS)
    if name is not None:
        messages = _parse_turns(name, row[name])
    else:
        prompt = to_messages(_parse_part("prompt", row["prompt"]), "user")
        messages = (
            *prompt,
            *to_messages(_parse_part("completion", row["completion"]), "assistant"),
        )
    system, tools = parse_system(row.get("system")), parse_tools(row.get("tools"))
    messages = prepend_system(system, messages)
    _check_turns(messages)
    return TextConversation(messages, number, tools, is_text and not (system or tools))


def _translate_alpaca(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row in Alpaca's shape as one of two messages: its input follows the instruction."""
    texts = {name: row.get(name) for name in ("instruction", "input", "output")}
    for name, value in texts.items():
        if name == "input" and not value:
            texts[name] = ""
            continue
        if value is None:
            raise null_field(name)
        if not isinstance(value, str):
            raise RowFault("not text", f"has {type(value).__name__} as `{name}`", "Expected text")
        if not value.strip() and name != "input":
            raise empty_field(name)
        require_text(name, value)
    joined = "\n\n".join(each for each in (texts["instruction"], texts["input"]) if each.strip())
    others = {name: value for name, value in row.items() if name not in texts}
    return {
        **others,
        "prompt": [{"role": "user", "content": joined}],
        "completion": [{"role": "assistant", "content": texts["output"]}],
    }


def _parse_part(name: str, value: Any) -> str | Messages:
    if isinstance(value, str):
        if not value.strip():
            raise empty_field(name)
        return require_text(name, value)
    return _parse_turns(name, value)


def _parse_turns(name: str, value: Any) -> Messages:
    if value is None:
        raise null_field(name)
    value = parse_json(name, value)
    if not isinstance(value, list | tuple | Mapping):
        raise RowFault(
            "not messages",
            f"has {type(value).__name__} as `{name}`",
            "Expected a list of messages",
        )
    listed = [value] if isinstance(value, Mapping) else value
    if not listed:
        raise empty_field(name)
    turns = enumerate(listed, start=1)
    return parse_messages(name, [_join_parts(turn, each) for turn, each in turns])


def _join_parts(turn: int, message: Any) -> Any:
    """Return a message whose content is a list of parts of text with the text of them all."""
    content = message.get("content") if isinstance(message, Mapping) else None
    if not isinstance(content, list):
        return message
    texts = []
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind != "text" or not isinstance(part.get("text"), str):
            raise RowFault(
                "not text",
                f"has {kind or type(part).__name__} as a part of turn {turn}, which infinito "
                "cannot show a model",
                'Write the content as text, or as parts {"type": "text", "text": "…"}',
            )
        texts.append(part["text"])
    return {**message, "content": "".join(texts)}


def _check_turns(messages: Messages) -> None:
    roles = [each["role"] for each in messages]
    for turn, role in enumerate(roles, start=1):
        if role not in ROLES:
            raise RowFault(
                "unknown role",
                f"has {role!r:.40} as the role of turn {turn}",
                f"Roles are {', '.join(ROLES)}",
            )
    spoken = [role for role in roles if role not in INSTRUCTS]
    if "assistant" not in spoken:
        raise RowFault(
            "no answer", "has no turn of the assistant", "Add the answer, or leave the row out"
        )
    if spoken[0] != "user":
        raise RowFault(
            "no question",
            f"begins with the {spoken[0]}'s turn",
            "Begin with the user's, or make what comes before it a system message",
        )
    if roles[-1] != "assistant":
        raise RowFault(
            "no answer",
            f"ends with the {roles[-1]}'s turn, to which there is no answer to learn",
            "Add the answer, or leave that turn out",
        )
