"""Turns of a conversation as the one text that a model reads."""

from __future__ import annotations

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from infinito.errors import DataError
from infinito.preferences.pairs.text_pair import Messages, RowFault, TextPair, to_messages

PLAIN = (
    "{% for message in messages %}"
    "{{ 'Human' if message['role'] == 'user' else message['role'] | capitalize }}: "
    "{{ message['content'] }}\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
"""A template for tokenizers that have none: "Human: …", "Assistant: …", a line each."""


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

    def texts(self, pair: TextPair) -> tuple[str, str, str]:
        """Prompt, chosen and rejected as text; prompt + answer is what the model reads.

        Raises:
            RowFault: the template refuses the messages, or writes the prompt differently when an
                answer follows.
        """
        prompt = self.rendered(to_messages(pair.prompt, "user"), opens_answer=True).rstrip(" ")
        answers = []
        for answer in (pair.chosen, pair.rejected):
            messages = to_messages(pair.prompt, "user") + to_messages(answer, "assistant")
            whole = self.rendered(messages, opens_answer=False)
            if not whole.startswith(prompt):
                raise RowFault(
                    "chat template",
                    "is written with another prompt when an answer follows it",
                    "Use another `data.chat_template`, e.g. plain",
                )
            answers.append(whole[len(prompt) :].rstrip())
        return prompt, answers[0], answers[1]

    def rendered(self, messages: Messages, opens_answer: bool) -> str:
        """Messages as text, up to where an answer begins if `opens_answer`."""
        try:
            return str(
                self.tokenizer.apply_chat_template(
                    list(messages),
                    chat_template=self.template,
                    tokenize=False,
                    add_generation_prompt=opens_answer,
                )
            )
        except (TemplateError, TypeError, ValueError) as error:
            raise RowFault(
                "chat template",
                f"is refused by the chat template: {error}",
                "Mend the roles, or use `data.chat_template=plain`",
            ) from None
