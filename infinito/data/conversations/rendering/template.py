"""Renders a conversation as the text that a model reads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from jinja2 import Environment, TemplateError, TemplateSyntaxError, nodes
from transformers import PreTrainedTokenizerBase
from transformers.utils.chat_template_utils import render_jinja_template

from infinito.data.conversations.rendering.code_limits import (
    TimeLimitError,
    limit_cpu_time,
    limit_memory,
)
from infinito.data.conversations.rendering.messages import Messages
from infinito.data.conversations.rows.faults import RowFault
from infinito.data.conversations.rows.messages import CALLS, REASONING
from infinito.errors import DataError

PLAIN = (
    "{% for message in messages if message['content'] %}"
    "{{ 'Human' if message['role'] == 'user' else message['role'] | capitalize }}: "
    "{{ message['content'] }}\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
"""A template for tokenizers that have none: "Human: …", "Assistant: …", a line each."""

GENERATION = re.compile(r"\{%-?\s*(?:end)?generation\s*-?%\}")
"""Tags of transformers around what the assistant writes; plain Jinja does not know them."""

TRIAL = ({"role": "user", "content": "a"}, {"role": "assistant", "content": "b"})
"""A conversation that shows how a template ends an answer."""

Tools = tuple[dict[str, Any], ...]

RENDERING_BYTES = 1 << 28
"""Memory that a template may take for one conversation."""

RENDERING_S = 2.0
"""CPU seconds that a template may take for one conversation; real ones take milliseconds."""


class ChatTemplate:
    """Renders prompts and answers with a tokenizer's chat template.

    Args:
        tokenizer: Its special tokens may stand in the template.
        template: Jinja text, "plain" for `PLAIN`, or None for the tokenizer's own.

    Raises:
        DataError: no template is given and the tokenizer has none.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, template: str | None = None) -> None:
        self.tokenizer = tokenizer
        self.template = PLAIN if template == "plain" else template
        if self.template is None and tokenizer.chat_template is None:
            raise DataError(
                "these pairs are messages, but the tokenizer has no chat template. Use "
                "`data.chat_template=plain`, or a template of your own in Jinja"
            )
        self._refuse_powers()

    def render(
        self, messages: Messages, tools: Tools = (), row: int | None = None, *, opens_answer: bool
    ) -> str:
        """Return messages as text, up to where an answer begins if `opens_answer`.

        Args:
            messages: The conversation.
            tools: JSON schemas of the functions that the assistant may call.
            row: The row's number, for messages; None for a trial.
            opens_answer: End with the words that open the assistant's turn.

        Raises:
            RowFault: the template refuses the messages.
            DataError: the template does not end, or fills the memory.
        """
        with _limited(row):
            return str(
                self.tokenizer.apply_chat_template(
                    list(messages),
                    tools=list(tools) or None,
                    chat_template=self.template,
                    tokenize=False,
                    add_generation_prompt=opens_answer,
                )
            )

    @cached_property
    def turn_end_id(self) -> int | None:
        """The special token with which the template ends an answer, e.g. <|eot_id|>, or None."""
        try:
            text = self.render(TRIAL, opens_answer=False).rstrip()
        except RowFault:  # it wants other roles than the trial has
            return None
        special = {
            token.content: number
            for number, token in self.tokenizer.added_tokens_decoder.items()
            if token.special and text.endswith(token.content)
        }
        return special[max(special, key=len)] if special else None

    def has_marks(self, tools: Tools = ()) -> bool:
        """Return whether the template marks what the assistant writes by {% generation %}."""
        return GENERATION.search(self._source(tools)) is not None

    def render_marked(
        self, messages: Messages, tools: Tools = (), row: int | None = None
    ) -> tuple[str, list[tuple[int, int]]]:
        """Return messages as text, and first and last + 1 characters of each marked stretch.

        Raises:
            RowFault: the template refuses the messages.
            DataError: the template does not end, or fills the memory.
        """
        with _limited(row):
            render: Any = render_jinja_template  # its annotations lack the text and the marks
            texts, marks = render(
                [list(messages)],
                tools=list(tools) or None,
                chat_template=self._source(tools),
                return_assistant_tokens_mask=True,
                **self.tokenizer.special_tokens_map,
            )
            return texts[0], [(first, end) for first, end in marks[0]]

    def _refuse_powers(self) -> None:
        """Refuse `**`: 9**9**9 is one operation, which neither a signal nor a limit interrupts."""
        given = self.template or self.tokenizer.chat_template
        sources = given.values() if isinstance(given, dict) else [given]
        for source in sources:
            text = GENERATION.sub("", str(source))
            try:
                parsed = Environment(extensions=["jinja2.ext.loopcontrols"]).parse(text)
            except TemplateError:  # the first row says where the fault is
                continue
            if next(parsed.find_all(nodes.Pow), None) is not None:
                raise DataError(
                    "the chat template computes a power (`**`), which may run without end and "
                    "which no conversation needs. Use another `data.chat_template`, e.g. plain"
                )

    def refuse_unwritten(self, messages: Messages, tools: Tools = ()) -> None:
        """Check that the template mentions what messages have besides role and content.

        Raises:
            RowFault: it leaves out tools, calls or reasoning.
        """
        keys = [key for key in (*CALLS, *REASONING) if any(key in each for each in messages)]
        keys += ["tools"] if tools else []
        if not keys:
            return
        source = self._source(tools)
        if unwritten := [key for key in keys if not re.search(rf"\b{key}\b", source)]:
            raise RowFault(
                "left out by the template",
                f"has {' and '.join(f'`{key}`' for key in unwritten)}, which the chat template "
                "does not write",
                "Use a template that writes them: `data.chat_template=null` for the tokenizer's own"
                if self.template
                else "Use a `data.chat_template` that writes them",
            )

    def _source(self, tools: Tools) -> str:
        """Return the template's text; some tokenizers have one of its own for tools."""
        if self.template is not None:
            return self.template
        return str(self.tokenizer.get_chat_template(tools=list(tools) or None))


@contextmanager
def _limited(row: int | None) -> Iterator[None]:
    """Limit time and memory of a template, and name the row in what it raises.

    Raises:
        RowFault: the template refuses the messages.
        DataError: the template does not end, or fills the memory.
    """
    try:
        with limit_cpu_time(RENDERING_S), limit_memory(RENDERING_BYTES):
            yield
    except TimeLimitError:
        raise DataError(
            f"the chat template took more than {RENDERING_S:g} CPU seconds for "
            f"{_name_row(row)}, where "
            "others take milliseconds. Use another `data.chat_template`, e.g. plain"
        ) from None
    except MemoryError:
        raise DataError(
            f"the chat template took more than {RENDERING_BYTES >> 20} MiB for "
            f"{_name_row(row)}, where "
            "others take kilobytes. Use another `data.chat_template`, e.g. plain"
        ) from None
    except Exception as error:  # the template is a program of its own: anything may go wrong
        where, what = "", "roles"
        if isinstance(error, TemplateSyntaxError):
            where, what = f" in line {error.lineno}", "template"
        cause = str(error).rstrip(".") or type(error).__name__
        raise RowFault(
            "chat template",
            f"is refused by the chat template{where}: {cause}",
            f"Mend the {what}, or use `data.chat_template=plain`",
        ) from None


def _name_row(row: int | None) -> str:
    return "a trial conversation" if row is None else f"row {row}"
