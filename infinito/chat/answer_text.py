"""Turns the tokens of an answer into text as they come, and ends it at a stop text."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

HALF = "\ufffd"
"""What a decoder writes for bytes that are no character, such as the first of several."""


class AnswerText:
    """The text of an answer, given out in pieces that later tokens no longer change.

    Held back are bytes that are no whole character yet, white space that no word follows yet, and
    an ending that a stop text could begin with. All pieces together are the decoded answer, up to
    the stop text, without white space around it.

    Args:
        tokenizer: Decodes the tokens.
        stops: Texts that end the answer; they are no part of it.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stops: Sequence[str] = ()) -> None:
        self.tokenizer = tokenizer
        self.stops = tuple(stops)
        self.ids: list[int] = []
        self.given = ""
        """The text that was given out so far, white space before its first word included."""
        self.has_stopped = False
        """Whether a stop text was reached."""

    def push(self, token: int) -> str:
        """Return the text that is certain with one more token, "" for none."""
        self.ids.append(token)
        text = self._decode()
        ends = [at for stop in self.stops if (at := text.find(stop, self._search_from(stop))) >= 0]
        if ends:
            self.has_stopped = True
            return self._give(text[: min(ends)])
        stable = text.rstrip(HALF)
        held = max((overlap(stable, stop) for stop in self.stops), default=0)
        return self._give(stable[: len(stable) - held])

    def finish(self) -> str:
        """Return what was held back, at the end of an answer that reached no stop text."""
        return "" if self.has_stopped else self._give(self._decode())

    def _decode(self) -> str:
        return str(self.tokenizer.decode(self.ids, skip_special_tokens=True))

    def _search_from(self, stop: str) -> int:
        return max(0, len(self.given) - len(stop))

    def _give(self, text: str) -> str:
        """Return what a text has beyond what was given, and count it as given."""
        piece, is_first = text.rstrip()[len(self.given) :], not self.given.strip()
        self.given += piece
        return piece.lstrip() if is_first else piece


def overlap(text: str, stop: str) -> int:
    """Return the length of the longest ending of a text that a stop text begins with."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
