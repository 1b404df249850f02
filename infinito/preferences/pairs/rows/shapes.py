"""Rows of ShareGPT's, OpenAI's and LLaMA-Factory's shapes, brought into infinito's.

Source: LLaMA-Factory's data/README.md, "Preference Dataset" of the Alpaca and ShareGPT formats.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infinito.data.conversations.rendering.messages import Messages
from infinito.data.conversations.rows.faults import RowFault
from infinito.data.conversations.rows.messages import null_field, parse_messages
from infinito.preferences.pairs.rows.columns import CONVERSATIONS
from infinito.preferences.pairs.rows.splitting import HUMAN


def find_prompt(row: Mapping[str, Any]) -> Any:
    """Return the prompt of a row under whichever name it has; None where the answers hold it.

    The answers hold it where they are whole dialogues or conversations.

    Raises:
        RowFault: the prompt is null, or one of its turns is none.
    """
    if "prompt" in row:
        if row["prompt"] is None:
            raise null_field("prompt")
        return row["prompt"]
    chosen = row.get("chosen")
    for name in CONVERSATIONS:
        if row.get(name) and not _is_conversation(chosen):
            return parse_messages(name, row[name])
    if row.get("instruction") and not (isinstance(chosen, str) and HUMAN in chosen):
        return _join_alpaca(row)
    return None


def _join_alpaca(row: Mapping[str, Any]) -> str | Messages:
    """Return Alpaca's instruction and input as one text, after the turns of its history."""
    parts = [row["instruction"], row.get("input")]
    if not all(part is None or isinstance(part, str) for part in parts):
        raise RowFault(
            "not text", "has an `instruction` or `input` that is not text", "Give them text"
        )
    text = "\n".join(part for part in parts if part)
    history = row.get("history") or []
    if not history:
        return text
    turns: list[dict[str, Any]] = []
    for turn in history:
        if not (isinstance(turn, list | tuple) and len(turn) == 2):
            raise RowFault(
                "not a turn",
                f"has {turn!r:.60} in `history`",
                'A turn of the history is ["question", "answer"]',
            )
        turns += [{"role": "user", "content": turn[0]}, {"role": "assistant", "content": turn[1]}]
    return parse_messages("history", [*turns, {"role": "user", "content": text}])


def _is_conversation(answer: Any) -> bool:
    """Whether an answer is a list of messages that begins before the assistant speaks."""
    if not isinstance(answer, list | tuple) or not answer:
        return False
    speaker: str = parse_messages("chosen", answer)[0]["role"]
    return speaker != "assistant"
