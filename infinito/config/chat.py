"""The schema of the `chat` group."""

from __future__ import annotations

from dataclasses import dataclass

from infinito.config.limits import limited


@dataclass
class ChatConf:
    """How messages become the text that a model continues (`task=chat`, `task=serve`)."""

    template: str | None = None
    """Jinja text, or `plain`; null for the one that the run was tuned with, or the tokenizer's
    own."""
    system: str | None = None
    """What the system's message says before the first turn; null for none."""
    stop: list[str] = limited([])
    """Texts that end an answer besides the end tokens; `plain` ends one at a new line with
    `Human:` too."""
    overflow: str = limited("drop", choices=("drop", "refuse"))
    """Where a conversation fills the window: leave out its oldest turns, or refuse the message."""
