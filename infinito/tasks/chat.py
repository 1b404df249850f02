"""`task=chat`: a conversation with a model, in the terminal or through a pipe."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from infinito.chat.assembly import build_conversation
from infinito.chat.lines import is_terminal, piped_lines, typed_lines
from infinito.chat.session import Session
from infinito.config import RunConf
from infinito.models.generation import describe_unused_settings
from infinito.wording import escape_controls


def run(conf: RunConf, folder: Path, overrides: Sequence[str]) -> None:
    """Answer lines until they end: answers to standard output, notes to standard error."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with console.status("opening the model"):
        conversation = build_conversation(conf)
    if note := describe_unused_settings(conversation.trained.model):
        console.print(f"[yellow]note:[/] {escape(note)}")
    is_live = is_terminal()
    if is_live:
        source, window = conversation.trained.source, conversation.window
        holds = "no stated window" if window is None else f"a window of {window} tokens"
        title = escape_controls(f"{source}, {holds}. /help lists the commands")
        console.print(escape(title), style="dim")
    Session(conversation, console, is_live).run(typed_lines() if is_live else piped_lines())
