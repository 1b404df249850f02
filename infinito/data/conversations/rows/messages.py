"""Messages of a conversation, as OpenAI (`role`, `content`) or ShareGPT (`from`, `value`) has them.

What else a message says (tool calls, reasoning) is kept for the chat template to write.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from infinito.data.conversations.rendering.messages import Message, Messages
from infinito.data.conversations.rows.faults import RowFault

CALLS = ("tool_calls", "function_call")
REASONING = ("reasoning_content", "reasoning", "thinking")
NAMES = ("name", "tool_call_id")

KEPT = (*CALLS, *REASONING, *NAMES)
"""Keys of a message, besides `role` and `content`, that chat templates write."""

SHAREGPT_ROLES = {
    **dict.fromkeys(("human", "user"), "user"),
    **dict.fromkeys(("gpt", "chatgpt", "bing", "bard", "model", "assistant"), "assistant"),
    **dict.fromkeys(("observation", "tool"), "tool"),
    "function_call": "assistant",
    "system": "system",
}
"""Speakers of ShareGPT and LLaMA-Factory, by the role that chat templates know."""

MAY_BE_EMPTY = ("system", "tool")
"""Roles whose message may say nothing: no instructions, a function without a result."""


def parse_messages(name: str, values: Any) -> Messages:
    """Return the messages of a field.

    Args:
        name: The field, for messages of error.
        values: A list of messages, or one message alone.

    Raises:
        RowFault: there is none, one is no message, or one that must speak is empty.
    """
    listed = [values] if isinstance(values, Mapping) else list(values)
    messages = tuple(_parse_message(name, turn, each) for turn, each in enumerate(listed, start=1))
    if not any(each["content"].strip() or _has_calls(each) for each in messages):
        raise empty_field(name)
    return messages


def require_text(name: str, text: str) -> str:
    r"""Return text that is Unicode.

    Raises:
        RowFault: half of a character (`\ud83d` alone) or a byte that is not UTF-8.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        is_byte = 0xDC80 <= code <= 0xDCFF  # how `surrogateescape` writes a byte
        what = f"the byte 0x{code - 0xDC00:02x}" if is_byte else f"half a character (U+{code:04X})"
        raise RowFault(
            "not Unicode",
            f"has {what} at character {error.start} of `{name}`, which is not UTF-8",
            "Save the file as UTF-8, e.g. `iconv -f latin1 -t utf-8`"
            if is_byte
            else "Write both halves (`\\ud83d\\ude00`) or the character itself",
        ) from None
    return text


def null_field(name: str) -> RowFault:
    """Return the fault of a field that is null."""
    return RowFault("null field", f"has null as `{name}`", "Give it text or leave the row out")


def empty_field(name: str) -> RowFault:
    """Return the fault of a field that says nothing."""
    return RowFault("empty field", f"has an empty `{name}`", "Give it text or leave the row out")


def _parse_message(name: str, turn: int, value: Any) -> Message:
    if isinstance(value, Mapping) and "role" not in value and "from" in value:
        value = _from_sharegpt(name, value)
    if not isinstance(value, Mapping):
        raise _not_a_message(name, value)
    extras = {key: value[key] for key in KEPT if value.get(key) not in (None, "", [], {})}
    if "tool_calls" in extras:
        extras["tool_calls"] = _parse_calls(name, extras["tool_calls"])
    role, content = value.get("role"), _join_parts(name, value.get("content"))
    if content is None and _has_calls(extras):  # OpenAI's way to say nothing besides a call
        content = ""
    if not (isinstance(role, str) and isinstance(content, str)):
        raise _not_a_message(name, value)
    if not (content.strip() or _has_calls(extras) or role in MAY_BE_EMPTY):
        raise RowFault(
            "empty field",
            f"has nothing in turn {turn} of `{name}`, the {role}'s",
            "Give it text or leave the row out",
        )
    for text in (role, content, json.dumps(extras, ensure_ascii=False, default=str)):
        require_text(name, text)
    return {"role": role, "content": content, **extras}


def _join_parts(name: str, content: Any) -> Any:
    """Return the text of a message that lists parts, as OpenAI's clients write it; others as is."""
    if not (isinstance(content, list) and content and isinstance(content[0], Mapping)):
        return content
    texts = []
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
        if kind != "text" or not isinstance(part.get("text"), str):
            raise RowFault(
                "not text",
                f"has a part of type {kind!r:.40} in `{name}`",
                "infinito reads text alone: leave the row out",
            )
        texts.append(part["text"])
    return "".join(texts)


def _from_sharegpt(name: str, value: Mapping[str, Any]) -> dict[str, Any]:
    speaker, said = value["from"], value.get("value")
    if speaker not in SHAREGPT_ROLES:
        raise RowFault(
            "unknown speaker",
            f"has a message from {speaker!r:.40} in `{name}`",
            f"Speakers are {', '.join(SHAREGPT_ROLES)}",
        )
    others = {key: each for key, each in value.items() if key not in ("from", "value")}
    if speaker == "function_call":
        return {**others, "role": "assistant", "content": "", "tool_calls": said}
    return {**others, "role": SHAREGPT_ROLES[speaker], "content": said}


def _parse_calls(name: str, calls: Any) -> list[Any]:
    """Return tool calls as objects, which templates expect, where they came as JSON text."""
    calls = parse_json(name, calls)
    return [_parse_call(name, call) for call in (calls if isinstance(calls, list) else [calls])]


def _parse_call(name: str, call: Any) -> dict[str, Any]:
    if not isinstance(call, Mapping):
        raise RowFault(
            "not a tool call",
            f"has {call!r:.60} as a tool call in `{name}`",
            'A tool call is {"type": "function", "function": {"name": …, "arguments": {…}}}',
        )
    function = call.get("function", {key: call[key] for key in call if key != "type"})
    if isinstance(function, Mapping) and "arguments" in function:
        function = {**function, "arguments": parse_json(name, function["arguments"])}
    return (
        {"type": "function", **call, "function": function}
        if "function" in call
        else {
            "type": "function",
            "function": function,
        }
    )


def parse_json(name: str, value: Any) -> Any:
    """Return the value that JSON text stands for, as datasets keep lists of unlike objects.

    Raises:
        RowFault: the text is not JSON.
    """
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise RowFault(
            "not JSON", f"has {value!r:.40} in `{name}`, which is not JSON", "Write it as JSON"
        ) from None


def _has_calls(message: Mapping[str, Any]) -> bool:
    return any(message.get(key) for key in CALLS)


def _not_a_message(name: str, value: Any) -> RowFault:
    return RowFault(
        "not a message",
        f"has {value!r:.60} in `{name}`",
        'A message is {"role": "user", "content": "…"} or {"from": "human", "value": "…"}',
    )
