"""Answers in the protocol's shape, whole or piece by piece."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from infinito.serving.engine import Piece


@dataclass(frozen=True)
class Answer:
    """Writes the parts of one answer."""

    model: str
    prompt_tokens: int
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, text: str, last: Piece) -> dict[str, Any]:
        """Return the body of an answer that is not streamed."""
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": last.end}
        return {
            **self._head("chat.completion"),
            "choices": [choice],
            "usage": self.usage(last),
        }

    def chunk(self, delta: dict[str, str], end: str | None = None) -> bytes:
        """Return an event of a stream."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": end}
        return event({**self._head("chat.completion.chunk"), "choices": [choice]})

    def usage_chunk(self, last: Piece) -> bytes:
        """Return the event that counts tokens at the end of a stream."""
        head = self._head("chat.completion.chunk")
        return event({**head, "choices": [], "usage": self.usage(last)})

    def usage(self, last: Piece) -> dict[str, int]:
        """Return how many tokens were read and written."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": last.tokens,
            "total_tokens": self.prompt_tokens + last.tokens,
        }

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


DONE = b"data: [DONE]\n\n"
"""The last event of a stream."""


def event(values: dict[str, Any]) -> bytes:
    """Return values as a server-sent event."""
    return b"data: " + json.dumps(values, ensure_ascii=False).encode() + b"\n\n"
