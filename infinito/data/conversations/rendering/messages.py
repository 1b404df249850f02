"""Messages, the turns of a conversation, and text that stands for one."""

from __future__ import annotations

import json
from typing import Any

Message = dict[str, Any]
"""A turn of a conversation: `role`, `content`, and what else a chat template may write of it."""

Messages = tuple[Message, ...]


def to_messages(text: str | Messages, role: str) -> Messages:
    """Return text as one message of `role`, and messages unchanged."""
    return ({"role": role, "content": text},) if isinstance(text, str) else text


def to_text(text: str | Messages) -> str:
    """Return text unchanged, and messages as JSON: equal for equal messages only."""
    return text if isinstance(text, str) else json.dumps(text, sort_keys=True, ensure_ascii=False)
