"""A preference pair as text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infinito.data.conversations.rendering.messages import Messages


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
