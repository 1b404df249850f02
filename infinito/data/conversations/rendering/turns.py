"""Renders a conversation, and finds in the text what the assistant wrote.

Where a template marks it (`{% generation %}`), the marks say so. Otherwise the conversation is
rendered turn by turn: an answer is what its text adds to the text that opens it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from infinito.data.conversations.conversation import TextConversation
from infinito.data.conversations.rendering.template import ChatTemplate
from infinito.data.conversations.rows.faults import RowFault

Span = tuple[int, int]
"""First character and the one after the last."""

MARKED_PLAIN = (
    "{{ bos_token | default('', true) }}"
    "{% for message in messages if message['content'] %}"
    "{{ 'Human' if message['role'] == 'user' else message['role'] | capitalize }}:"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ ' ' + message['content'] + eos_token }}{% endgeneration %}"
    "{% else %}{{ ' ' + message['content'] }}{% endif %}"
    "{{ '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
"""`plain` with marks around each answer, which ends with the end-of-text token."""


def render_turns(template: ChatTemplate, conversation: TextConversation) -> tuple[str, list[Span]]:
    """Return a conversation as the model reads it, and where the assistant's text lies in it.

    Raises:
        RowFault: the template refuses the messages, leaves out a part of them, or writes earlier
            turns differently when others follow.
        DataError: the template does not end.
    """
    messages, tools, row = conversation.messages, conversation.tools, conversation.row
    template.refuse_unwritten(messages, tools)
    if template.has_marks(tools):
        text, spans = template.render_marked(messages, tools, row)
    else:
        text, spans = _render_by_turns(template, conversation)
    _refuse_left_out(conversation, text, spans)
    return text, spans


def _render_by_turns(
    template: ChatTemplate, conversation: TextConversation
) -> tuple[str, list[Span]]:
    messages, tools, row = conversation.messages, conversation.tools, conversation.row
    texts, spans = [], []
    for number, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        opening = template.render(messages[:number], tools, row, opens_answer=True).rstrip(" ")
        closed = template.render(messages[: number + 1], tools, row, opens_answer=False)
        texts += [(number, opening), (number, closed)]
        spans.append((len(opening), len(closed.rstrip())))
    for (_, shorter), (number, longer) in pairwise(texts):
        if not longer.startswith(shorter.rstrip()):
            raise RowFault(
                "chat template",
                f"is written differently up to turn {number + 1} by the chat template when "
                "more follows",
                "Use a template that marks answers with {% generation %}, `data.chat_template="
                "plain`, or rows with one answer each",
            )
    return texts[-1][1].rstrip(), spans


def _refuse_left_out(conversation: TextConversation, text: str, spans: Sequence[Span]) -> None:
    """Check that each answer's words stand in what is learned."""
    learned = "\n".join(text[first:end] for first, end in spans)
    for turn, message in enumerate(conversation.messages, start=1):
        said = message["content"].strip()
        if message["role"] == "assistant" and said and said not in learned:
            raise RowFault(
                "left out by the template",
                f"has an answer in turn {turn} that the chat template leaves out of what the "
                "assistant writes",
                "Use a `data.chat_template` that writes it, e.g. plain",
            )
