"""A conversation on the screen or through a pipe: answers to standard output, notes elsewhere."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext
from itertools import chain

from rich.console import Console
from rich.markup import escape

from infinito.chat.commands import Commands
from infinito.chat.conversation import Conversation, Turn
from infinito.errors import InfinitoError
from infinito.wording import escape_controls


class Session:
    """Answers lines until they end.

    Args:
        conversation: What answers them.
        console: Receives notes; answers go to standard output.
        is_live: A person types the lines: a fault is shown and the next line read, Ctrl+C stops an
            answer and not the program. Otherwise the first fault ends the program.
    """

    def __init__(self, conversation: Conversation, console: Console, is_live: bool) -> None:
        self.conversation, self.console, self.is_live = conversation, console, is_live
        self.commands = Commands(conversation)
        self._has_said_lost = False

    def run(self, lines: Iterable[str]) -> None:
        """Answer each line, or do what its command says.

        Raises:
            InfinitoError: a line could not be answered, and nobody is there to write another.
        """
        for line in filter(str.strip, lines):
            try:
                self._answer(line)
            except InfinitoError as error:
                if not self.is_live:
                    raise
                self._note("error", str(error), "red")
            if self.commands.has_ended:
                return

    def _answer(self, line: str) -> None:
        text = line.strip()
        if text.startswith("/") and not text.startswith("//"):
            if said := self.commands.run(text):
                self.console.print(escape(escape_controls(said)), style="dim")
            return
        turn = self.conversation.begin(text.removeprefix("/") if text.startswith("//") else text)
        if turn.dropped:
            count = sum(each["role"] == "user" for each in turn.dropped)
            which = "turn is" if count == 1 else f"{count} turns are"
            self._note("note", f"the oldest {which} left out: the window is full")
        self._write(turn)
        self._say_how_it_ended(turn)

    def _write(self, turn: Turn) -> None:
        with stopping(self.is_live) as is_stopped, closing(self.conversation.write(turn)) as pieces:
            with self.console.status("reading") if self.is_live else nullcontext():
                first = next(pieces, "")  # all of the message is read before it
            for piece in chain([first], pieces):
                write_piece(piece)
                if is_stopped():
                    break
        print(flush=True)

    def _say_how_it_ended(self, turn: Turn) -> None:
        if turn.end == "length":
            limit = self.conversation.settings.max_new_tokens
            reason = (
                f"`generation.max_new_tokens`={limit}"
                if turn.limit == limit
                else f"the model's window of {self.conversation.window}"
            )
            self._note("note", f"the answer was cut by {reason}")
        if self.conversation.reader.lost and not self._has_said_lost:
            self._has_said_lost = True
            self._note(
                "note",
                "this model's cache cannot be kept or shortened, so it reads the conversation from "
                "its beginning again where it has to",
            )

    def _note(self, heading: str, text: str, colour: str = "yellow") -> None:
        self.console.print(f"[{colour}]{heading}:[/] {escape(escape_controls(text))}")


@contextmanager
def stopping(is_live: bool) -> Iterator[Callable[[], bool]]:
    """Let Ctrl+C ask a block to stop, where a person types; the block looks after each token.

    An exception instead would come in the middle of a forward pass, with the cache of some layers
    longer than that of others.
    """
    pressed: list[int] = []
    if not is_live:
        yield lambda: False
        return
    previous = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, previous)


def write_piece(piece: str) -> None:
    """Print a piece of an answer at once.

    A terminal gets no control characters, with which a model could change what it shows; a stream
    that is not UTF-8 gets other characters as `\\u…`.
    """
    text = escape_controls(piece) if sys.stdout.isatty() else piece
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), end="", flush=True)
