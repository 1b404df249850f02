"""Columns that rows of conversations and of preference pairs share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infinito.data.conversations.rendering.messages import Messages
from infinito.data.conversations.rows.faults import RowFault
from infinito.data.conversations.rows.messages import parse_json, require_text

UNSUPPORTED = ("images", "videos", "audios", "chat_template_kwargs")
"""Part of what a model would be shown, which infinito cannot show it."""


def refuse_unsupported(row: Mapping[str, Any]) -> None:
    """Check that a row has nothing that would be dropped without a word.

    Raises:
        RowFault: names the columns.
    """
    if found := [name for name in UNSUPPORTED if row.get(name)]:
        raise RowFault(
            "unsupported column",
            f"has {' and '.join(f'`{name}`' for name in found)}, which infinito cannot show a "
            "model",
            "Take the column out of the file if the answers do not depend on it",
        )


def parse_system(value: Any) -> str:
    """Return the instructions of a `system` column, "" for none.

    Raises:
        RowFault: they are not text.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        raise RowFault("not text", f"has {type(value).__name__} as `system`", "Expected text")
    return require_text("system", value) if value.strip() else ""


def prepend_system(system: str, prompt: Messages) -> Messages:
    """Return messages that begin with the instructions of a `system` column, if it has some.

    Raises:
        RowFault: the messages begin with other instructions.
    """
    if not system:
        return prompt
    if prompt[0]["role"] != "system":
        return ({"role": "system", "content": system}, *prompt)
    if prompt[0]["content"] != system:
        raise RowFault(
            "two system messages",
            "has a `system` column that differs from the system message of its prompt",
            "Keep one of them",
        )
    return prompt


def parse_tools(value: Any) -> tuple[dict[str, Any], ...]:
    """Return the JSON schemas of a `tools` column, as a list or as its JSON text.

    Raises:
        RowFault: they are no list of objects.
    """
    if not value:
        return ()
    tools = parse_json("tools", value)
    if not (isinstance(tools, list) and all(isinstance(each, Mapping) for each in tools)):
        raise RowFault(
            "not a list of tools",
            f"has {value!r:.60} as `tools`",
            "Expected a list of JSON schemas, or that list as JSON text",
        )
    return tuple(tools)
