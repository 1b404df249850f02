"""Tokens against the seconds of training, validation and saving left out."""

from __future__ import annotations

import time
from typing import Any


class Throughput:
    """Counts the tokens of training batches and the time they take, window by window.

    Attributes:
        tokens_per_s: Of the window that closed last; None before the first.
    """

    def __init__(self) -> None:
        self.tokens_per_s: float | None = None
        self._tokens, self._training_s = 0, 0.0
        self._window_tokens = 0
        self._since_s = time.perf_counter()

    @property
    def mean_tokens_per_s(self) -> float | None:
        """Tokens per second of all closed windows; None before the first."""
        return self._tokens / self._training_s if self._training_s else None

    def start_batch(self) -> None:
        """Start the clock, unless a window is open."""
        if self._window_tokens == 0:
            self._since_s = time.perf_counter()

    def count(self, tokens: int) -> None:
        """Add the tokens of a batch to the open window."""
        self._window_tokens += tokens

    def close_window(self) -> float:
        """Return the tokens per second of the window, and open the next."""
        window_s = time.perf_counter() - self._since_s
        self._tokens += self._window_tokens
        self._training_s += window_s
        self.tokens_per_s = self._window_tokens / window_s
        self._window_tokens = 0
        return self.tokens_per_s

    def drop_window(self) -> None:
        """Forget the open window: something other than training is about to take time."""
        self._window_tokens = 0

    def state_dict(self) -> dict[str, Any]:
        """Return counts and times, the open window's included."""
        return {
            "tokens": self._tokens,
            "training_s": self._training_s,
            "window_tokens": self._window_tokens,
            "window_s": time.perf_counter() - self._since_s,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave; checkpoints of old lack the open window."""
        self._tokens, self._training_s = state["tokens"], state["training_s"]
        self._window_tokens = state.get("window_tokens", 0)
        self._since_s = time.perf_counter() - state.get("window_s", 0.0)
