"""Renders a conversation as the text that a model reads."""

from __future__ import annotations

import re
from functools import cached_property

from jinja2 import Environment, TemplateError, nodes
from transformers import PreTrainedTokenizerBase

from infinito.errors import DataError
from infinito.preferences.pairs.code_limits import TimeLimitError, limit_cpu_time, limit_memory
from infinito.preferences.pairs.rows.faults import RowFault
from infinito.preferences.pairs.rows.messages import CALLS, REASONING
from infinito.preferences.pairs.text_pair import Messages, TextPair, to_messages

PLAIN = (
    "{% for message in messages if message['content'] %}"
    "{{ 'Human' if message['role'] == 'user' else message['role'] | capitalize }}: "
    "{{ message['content'] }}\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
"""A template for tokenizers that have none: "Human: …", "Assistant: …", a line each."""

RENDERING_BYTES = 1 << 28
"""Memory that a template may take for one conversation."""

RENDERING_S = 2.0
"""CPU seconds that a template may take for one conversation; real ones take milliseconds."""

TRIAL = ({"role": "user", "content": "a"}, {"role": "assistant", "content": "b"})
"""A conversation that shows how a template ends an answer."""


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

    @cached_property
    def turn_end_id(self) -> int | None:
        """The special token with which the template ends an answer, e.g. <|eot_id|>, or None."""
        try:
            text = self.render(TRIAL, None, opens_answer=False).rstrip()
        except RowFault:  # it wants other roles than the trial has
            return None
        special = {
            token.content: number
            for number, token in self.tokenizer.added_tokens_decoder.items()
            if token.special and text.endswith(token.content)
        }
        return special[max(special, key=len)] if special else None

    def render_pair(self, pair: TextPair) -> tuple[str, str, str]:
        """Return prompt, chosen and rejected as text; prompt + answer is what the model reads.

        Raises:
            RowFault: the template refuses the messages, leaves out a part of them, or writes the
                prompt differently when an answer follows.
            DataError: the template does not end.
        """
        opening = to_messages(pair.prompt, "user")
        answers = [to_messages(each, "assistant") for each in (pair.chosen, pair.rejected)]
        self._refuse_unwritten(pair, (*opening, *answers[0], *answers[1]))
        prompt = self.render(opening, pair, opens_answer=True).rstrip(" ")
        texts = []
        for answer in answers:
            whole = self.render(opening + answer, pair, opens_answer=False)
            if not whole.startswith(prompt):
                raise RowFault(
                    "chat template",
                    "is written with another prompt when an answer follows it",
                    "Use another `data.chat_template`, e.g. plain",
                )
            texts.append(whole[len(prompt) :].rstrip())
        return prompt, texts[0], texts[1]

    def render(self, messages: Messages, pair: TextPair | None, *, opens_answer: bool) -> str:
        """Return messages as text, up to where an answer begins if `opens_answer`.

        Args:
            messages: The conversation.
            pair: Where its tools and the row's number come from; None for a trial.
            opens_answer: End with the words that open the assistant's turn.

        Raises:
            RowFault: the template refuses the messages.
            DataError: the template does not end, or fills the memory.
        """
        try:
            with limit_cpu_time(RENDERING_S), limit_memory(RENDERING_BYTES):
                return str(
                    self.tokenizer.apply_chat_template(
                        list(messages),
                        tools=list(pair.tools) if pair is not None and pair.tools else None,
                        chat_template=self.template,
                        tokenize=False,
                        add_generation_prompt=opens_answer,
                    )
                )
        except TimeLimitError:
            row = "a trial conversation" if pair is None else f"row {pair.row}"
            raise DataError(
                f"the chat template took more than {RENDERING_S:g} CPU seconds for {row}, where "
                "others take milliseconds. Use another `data.chat_template`, e.g. plain"
            ) from None
        except MemoryError:
            row = "a trial conversation" if pair is None else f"row {pair.row}"
            raise DataError(
                f"the chat template took more than {RENDERING_BYTES >> 20} MiB for {row}, where "
                "others take kilobytes. Use another `data.chat_template`, e.g. plain"
            ) from None
        except Exception as error:  # the template is a program of its own: anything may go wrong
            raise RowFault(
                "chat template",
                f"is refused by the chat template: {error or type(error).__name__}",
                "Mend the roles, or use `data.chat_template=plain`",
            ) from None

    def _refuse_powers(self) -> None:
        """Refuse `**`: 9**9**9 is one operation, which neither a signal nor a limit interrupts."""
        given = self.template or self.tokenizer.chat_template
        sources = given.values() if isinstance(given, dict) else [given]
        for source in sources:
            try:
                parsed = Environment(extensions=["jinja2.ext.loopcontrols"]).parse(str(source))
            except TemplateError:  # the first row says where the fault is
                continue
            if next(parsed.find_all(nodes.Pow), None) is not None:
                raise DataError(
                    "the chat template computes a power (`**`), which may run without end and "
                    "which no conversation needs. Use another `data.chat_template`, e.g. plain"
                )

    def _refuse_unwritten(self, pair: TextPair, messages: Messages) -> None:
        """Check that the template mentions what messages have besides role and content."""
        keys = [key for key in (*CALLS, *REASONING) if any(key in each for each in messages)]
        keys += ["tools"] if pair.tools else []
        if not keys:
            return
        source = self.template or self.tokenizer.get_chat_template(
            tools=list(pair.tools) or None  # some tokenizers have a template of its own for tools
        )
        if unwritten := [key for key in keys if not re.search(rf"\b{key}\b", source)]:
            raise RowFault(
                "left out by the template",
                f"has {' and '.join(f'`{key}`' for key in unwritten)}, which the chat template "
                "does not write",
                "Use a template that writes them: `data.chat_template=null` for the tokenizer's own"
                if self.template
                else "Use a `data.chat_template` that writes them",
            )
