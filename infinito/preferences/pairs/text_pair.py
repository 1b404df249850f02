"""A preference pair as text."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

Message = dict[str, Any]
"""A turn of a conversation: `role`, `content`, and what else a chat template may write of it."""

Messages = tuple[Message, ...]


@dataclass(frozen=True)
class TextPair:
    """A prompt and two answers to it, the first preferred; all text, or all messages."""

    prompt: str | Messages
    chosen: str | Messages
    rejected: str | Messages
    category: str | None
    row: int
    """Row in the file, counted from 0."""
    weight: float = 1.0
    has_turns: bool = False
    """The text is a dialogue with turns of its own: no chat template is put around it."""
    tools: tuple[dict[str, Any], ...] = ()
    """JSON schemas of the functions that the assistant may call."""


def to_messages(text: str | Messages, role: str) -> Messages:
    """Return text as one message of `role`, and messages unchanged."""
    return ({"role": role, "content": text},) if isinstance(text, str) else text


def to_text(text: str | Messages) -> str:
    """Return text unchanged, and messages as JSON: equal for equal messages only."""
    return text if isinstance(text, str) else json.dumps(text, sort_keys=True, ensure_ascii=False)
