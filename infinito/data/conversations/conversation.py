"""A conversation as text and as token ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from infinito.data.conversations.rendering.messages import Messages
from infinito.data.conversations.rendering.template import Tools


@dataclass(frozen=True)
class TextConversation:
    """A conversation in which the assistant has the last word."""

    messages: Messages
    row: int
    """Row in the file, counted from 0."""
    tools: Tools = ()
    """JSON schemas of the functions that the assistant may call."""
    is_text: bool = False
    """The row held a prompt and a completion as text, without turns."""

    @property
    def prompt(self) -> Messages:
        """The messages before the assistant's first."""
        roles = [each["role"] for each in self.messages]
        return self.messages[: roles.index("assistant")]


@dataclass(frozen=True)
class TokenizedConversation:
    """A conversation as token ids, some of which are learned."""

    ids: Sequence[int]
    """All token ids."""
    learned: Sequence[int]
    """Places in `ids` of the tokens that are learned, ascending, none of them the first."""
    learned_bytes: int
    """UTF-8 bytes of the text that the learned tokens stand for; special tokens have none."""
    row: int
    """Row in the file that the conversation was read from, counted from 0."""

    @property
    def inputs(self) -> Sequence[int]:
        """Token ids that a model reads: what comes after the last prediction is left out."""
        return self.ids[: self.learned[-1]]
