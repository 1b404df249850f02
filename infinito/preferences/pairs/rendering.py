"""Renders a preference pair as the text that a model reads."""

from __future__ import annotations

from infinito.data.conversations.rendering.messages import to_messages
from infinito.data.conversations.rendering.template import ChatTemplate
from infinito.data.conversations.rows.faults import RowFault
from infinito.preferences.pairs.text_pair import TextPair


def render_pair(template: ChatTemplate, pair: TextPair) -> tuple[str, str, str]:
    """Return prompt, chosen and rejected as text; prompt + answer is what the model reads.

    Raises:
        RowFault: the template refuses the messages, leaves out a part of them, or writes the
            prompt differently when an answer follows.
        DataError: the template does not end.
    """
    opening = to_messages(pair.prompt, "user")
    answers = [to_messages(each, "assistant") for each in (pair.chosen, pair.rejected)]
    template.refuse_unwritten((*opening, *answers[0], *answers[1]), pair.tools)
    prompt = template.render(opening, pair.tools, pair.row, opens_answer=True).rstrip(" ")
    texts = []
    for answer in answers:
        whole = template.render(opening + answer, pair.tools, pair.row, opens_answer=False)
        if not whole.startswith(prompt):
            raise RowFault(
                "chat template",
                "is written with another prompt when an answer follows it",
                "Use another `data.chat_template`, e.g. plain",
            )
        texts.append(whole[len(prompt) :].rstrip())
    return prompt, texts[0], texts[1]
