"""Turns conversations into the token ids that a model continues."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from infinito.data.conversations.rendering.messages import Message
from infinito.data.conversations.rendering.template import PLAIN, ChatTemplate
from infinito.data.conversations.rendering.turns import MARKED_PLAIN
from infinito.errors import CheckpointError, DataError
from infinito.models.trained import Trained
from infinito.run_folder.folder import find_run_folder, saved_values

PLAIN_STOP = "\nHuman:"
"""Where a model that goes on with a `plain` conversation by itself is stopped."""


class Prompts:
    """The chat template of a model, and what ends its answers.

    Args:
        trained: The model with its tokenizer.
        template: Jinja text or `plain`; None for the template that the checkpoint's run was tuned
            with, or else the tokenizer's own.

    Raises:
        DataError: there is no template, or it does not end, fills the memory or is no Jinja.
    """

    def __init__(self, trained: Trained, template: str | None = None) -> None:
        self.tokenizer = trained.tokenizer
        template = template or find_tuned_template(trained.source)
        if template is None and self.tokenizer.chat_template is None:
            raise DataError(
                f"{trained.source} has no chat template, which turns messages into text. Use "
                "`chat.template=plain` (lines of `Human: …` and `Assistant: …`), or a template of "
                "your own in Jinja"
            )
        checked = ChatTemplate(self.tokenizer, template)
        self.template = checked.template
        self.end_ids = find_end_ids(trained, checked.turn_end_id)
        written = self.template or self.tokenizer.chat_template
        self.stops = (PLAIN_STOP,) if written in (PLAIN, MARKED_PLAIN) else ()

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """Return the token ids of a conversation up to where the assistant's answer begins.

        Raises:
            DataError: the template refuses the messages, a message is not UTF-8 or holds what the
                tokenizer does not know.
        """
        for message in messages:
            check_utf8(str(message["content"]))
        text = self.render(messages).rstrip(" ")
        try:
            # `plain` alone leaves it to the tokenizer to begin a text
            ids = self.tokenizer(text, add_special_tokens=self.template == PLAIN, verbose=False)
        except Exception as error:  # tokenizers raises bare Exception for a missing unknown token
            raise DataError(
                f"the message has a character that the tokenizer does not know ({error})"
            ) from None
        found = list(ids["input_ids"])
        if found and found[-1] == self.tokenizer.eos_token_id:  # some tokenizers close every text
            found = found[:-1]
        if not found:
            raise DataError(
                "the chat template makes no token of the messages. Use `chat.template=plain`"
            )
        return found

    def render(self, messages: Sequence[Message]) -> str:
        """Return a conversation as text, with the words that open the assistant's answer.

        Raises:
            DataError: the template refuses the messages or leaves out the system's.
        """
        try:
            text = str(
                self.tokenizer.apply_chat_template(
                    list(messages),
                    chat_template=self.template,
                    tokenize=False,
                    add_generation_prompt=True,
                )
            )
        except Exception as error:  # the template is a program of its own: anything may go wrong
            cause = str(error).rstrip(".") or type(error).__name__
            raise DataError(
                f"the chat template refuses the messages: {cause}. Use `chat.template=plain`, "
                "which takes any"
            ) from None
        if messages[0]["role"] == "system" and str(messages[0]["content"]).strip() not in text:
            raise DataError(
                "the chat template leaves out the system's message. Leave it out too, or use "
                "`chat.template=plain`"
            )
        return text


def find_tuned_template(source: Path) -> str | None:
    """Return the template by which a run tuned preferences, where a checkpoint belongs to one.

    A run that learned conversations has given its template to the tokenizer.
    """
    folder = find_run_folder(source)
    if folder is None:
        return None
    try:
        data = saved_values(folder)["data"]
    except CheckpointError:  # a config.yaml that is not a run's
        return None
    was_used = data.get("name") == "pairs" and data.get("chat", True)
    template: str | None = data.get("chat_template") if was_used else None
    return template


def find_end_ids(trained: Trained, turn_end_id: int | None) -> frozenset[int]:
    """Return the ids at which an answer ends: of the tokenizer, the model and the template."""
    own = getattr(trained.model.generation_config, "eos_token_id", None)
    ids = [trained.tokenizer.eos_token_id, turn_end_id, *(own if isinstance(own, list) else [own])]
    return frozenset(int(each) for each in ids if each is not None)


def check_utf8(text: str) -> None:
    """Check that a message can be written in UTF-8, which halves of characters cannot.

    Raises:
        DataError: it cannot.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"the message is not UTF-8 at character {error.start + 1}: write it again"
        ) from None
