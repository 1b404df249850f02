"""A preference pair as token ids: what tokenizing returns and training reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class TokenizedPair:
    """A prompt and two answers to it, the first preferred."""

    prompt_ids: Sequence[int]
    """Token ids of the prompt; at least one."""
    chosen_ids: Sequence[int]
    """Token ids of the preferred answer, its end-of-text token included."""
    rejected_ids: Sequence[int]
    """Token ids of the other answer, its end-of-text token included."""
    category: str | None
    """Subject of the pair, for figures by category."""
    row: int
    """Row in the file that the pair was read from, counted from 0; messages name it."""
    weight: float = 1.0
    """How much the pair counts in the loss."""

    @property
    def tokens(self) -> int:
        """Tokens of the prompt and both answers."""
        return len(self.prompt_ids) + len(self.chosen_ids) + len(self.rejected_ids)
