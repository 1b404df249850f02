"""Requests of the chat-completions protocol: what is read of them, and what is refused.

Source: OpenAI's API reference, "Create chat completion". A parameter that would change the answer
and is not read here is refused; those that clients send by habit and that change nothing pass.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class Strict(BaseModel):
    """A part of a request that may hold nothing unknown, and no text in place of a number."""

    model_config = ConfigDict(extra="forbid", strict=True)


class TextPart(Strict):
    """A piece of a message's content."""

    type: Literal["text"]
    text: str


class ChatMessage(Strict):
    """A message of a conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]
    refusal: None = None
    tool_calls: Annotated[list[Any], Field(max_length=0)] | None = None

    def to_message(self) -> dict[str, str]:
        """Return the message as chat templates know it."""
        content = self.content
        text = content if isinstance(content, str) else "".join(each.text for each in content)
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class StreamOptions(Strict):
    """What a stream ends with."""

    include_usage: bool = False
    include_obfuscation: bool = False


class PlainFormat(Strict):
    """The only format of an answer."""

    type: Literal["text"]


StopText = Annotated[str, Field(min_length=1, max_length=64)]


class ChatRequest(Strict):
    """The body of `POST /v1/chat/completions`."""

    model: str
    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=1)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stop: StopText | Annotated[list[StopText], Field(max_length=4)] | None = None

    n: Literal[1] | None = 1
    frequency_penalty: float | None = 0
    presence_penalty: float | None = 0
    logit_bias: Annotated[dict[str, Any], Field(max_length=0)] | None = None
    logprobs: Literal[False] | None = False
    top_logprobs: Literal[0] | None = None
    response_format: PlainFormat | None = None
    tools: Annotated[list[Any], Field(max_length=0)] | None = None
    tool_choice: Literal["none", "auto"] | None = None
    parallel_tool_calls: bool | None = None
    user: str | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None

    @field_validator("frequency_penalty", "presence_penalty")
    @classmethod
    def refuse_penalty(cls, value: float | None) -> float | None:
        """Refuse any other penalty than 0."""
        if value:
            raise ValueError("is not supported: leave it out, or use `repetition_penalty`")
        return value

    @model_validator(mode="after")
    def check_together(self) -> ChatRequest:
        """Refuse a conversation without a question, and two limits."""
        if self.messages[-1].role == "assistant":
            raise ValueError("messages: the last message must be the user's, to be answered")
        if self.max_tokens is not None and self.max_completion_tokens is not None:
            raise ValueError("give one of max_tokens and max_completion_tokens")
        return self

    @property
    def limit(self) -> int | None:
        """The most tokens that the answer may have, None where the request leaves it open."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def stops(self) -> tuple[str, ...]:
        """The texts that end the answer."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
