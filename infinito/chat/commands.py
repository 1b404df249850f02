"""What a line that begins with a slash does to a conversation."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

from infinito.chat.conversation import Conversation
from infinito.errors import DataError
from infinito.storage import written_whole
from infinito.wording import suggest

Command = Callable[["Commands", str], str]
"""Does what a command says with its argument; returns what to tell the person."""


class Commands:
    """The commands of a conversation.

    Args:
        conversation: What they act on.
    """

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.has_ended = False
        """Whether /quit was given."""
        self._saved: set[Path] = set()

    def run(self, line: str) -> str:
        """Run a line that begins with a slash; return what to tell the person.

        Raises:
            DataError: there is no such command, or it cannot be done.
        """
        name, _, argument = line[1:].strip().partition(" ")
        if name not in COMMANDS:
            known = suggest(f"/{name}", [f"/{each}" for each in COMMANDS])
            raise DataError(
                f"`/{name}`: there is no such command; {known} A message that begins with a slash "
                "is written with two"
            )
        return COMMANDS[name][1](self, argument.strip())

    def help(self, _: str) -> str:
        """Return a line for each command."""
        lines = [f"/{usage:<15} {meaning}" for usage, _, meaning in COMMANDS.values()]
        return "\n".join([*lines, "Ctrl+C stops an answer, Ctrl+D ends the program"])

    def reset(self, _: str) -> str:
        """Forget the turns."""
        self.conversation.reset()
        return "the conversation begins anew"

    def system(self, text: str) -> str:
        """Replace the system's message."""
        self.conversation.set_system(text)
        return "the system's message is set" if text else "there is no system's message now"

    def temperature(self, text: str) -> str:
        """Draw at another temperature."""
        try:
            temperature = float(text)
        except ValueError:
            temperature = math.nan
        if not 0 <= temperature < math.inf:
            raise DataError(
                f"`/temperature {text}`: expected a number from 0, which is greedy, on, e.g. "
                "`/temperature 0.8`"
            )
        self.conversation.set_temperature(temperature)
        return f"temperature {temperature:g}"

    def save(self, text: str) -> str:
        """Write the conversation into a file, as a row of conversations."""
        if not text:
            raise DataError("`/save` needs a file, e.g. `/save talk.jsonl`")
        path = Path(text).expanduser()
        if path.exists() and path.resolve() not in self._saved:
            raise DataError(f"{path} is there already: choose another name")
        row = {"messages": self.conversation.transcript()}
        try:
            with written_whole(path) as file:
                file.write(f"{json.dumps(row, ensure_ascii=False)}\n".encode())
        except OSError as error:  # no such folder, say
            raise DataError(f"{path} cannot be written: {error.strerror}") from None
        self._saved.add(path.resolve())
        return f"saved in {path}: a line of JSON, which `data=chat` reads"

    def undo(self, _: str) -> str:
        """Take back the last turn."""
        message = self.conversation.undo()
        return "there is no turn to take back" if message is None else f"took back: {message}"

    def quit(self, _: str) -> str:
        """End the program."""
        self.has_ended = True
        return ""


COMMANDS: dict[str, tuple[str, Command, str]] = {
    "help": ("help", Commands.help, "lists the commands"),
    "reset": ("reset", Commands.reset, "begins anew; the system's message stays"),
    "system": ("system TEXT", Commands.system, "sets the system's message, or none"),
    "temperature": ("temperature X", Commands.temperature, "draws at X; 0 is greedy"),
    "save": ("save FILE", Commands.save, "writes the conversation as a line of JSON"),
    "undo": ("undo", Commands.undo, "takes back the last message and its answer"),
    "quit": ("quit", Commands.quit, "ends the program"),
}
"""Usage, action and meaning of each command."""
