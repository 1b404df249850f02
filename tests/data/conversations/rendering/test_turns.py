"""What the assistant wrote is found by a template's marks, or turn by turn where it has none."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from infinito.data.conversations.conversation import TextConversation
from infinito.data.conversations.rendering.template import ChatTemplate
from infinito.data.conversations.rendering.turns import MARKED_PLAIN, render_turns
from infinito.data.conversations.rows.faults import RowFault
from infinito.data.conversations.rows.parsing import parse_conversation
from infinito.data.tokenizers.bpe import BpeTokenizer

CHATML = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
FORGETS = CHATML.replace("{{ m.content }}", "{{ m.content if loop.last else '…' }}")
ALTERNATES = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}{{ m.content }}{% endfor %}"
)
NO_ANSWER = "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}"
NO_MARKED_ANSWER = "{% for m in messages %}{% generation %}x{% endgeneration %}{% endfor %}"


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return BpeTokenizer(257).build([], separates_documents=True)


def talk(*turns: str, **changes: Any) -> TextConversation:
    roles = ("user", "assistant") * len(turns)
    messages = [{"role": r, "content": c} for r, c in zip(roles, turns, strict=False)]
    return parse_conversation({"messages": messages, **changes}, 0)


def learned(tokenizer: PreTrainedTokenizerFast, template: str, text: TextConversation) -> list[str]:
    written, spans = render_turns(ChatTemplate(tokenizer, template), text)
    return [written[first:end] for first, end in spans]


def test_marked_plain_learns_each_answer_and_its_end(tokenizer: PreTrainedTokenizerFast) -> None:
    conversation = talk("Hi", "Hello!", "Bye", "See you", system="Be kind.")
    written, spans = render_turns(ChatTemplate(tokenizer, MARKED_PLAIN), conversation)
    assert written == (
        "System: Be kind.\nHuman: Hi\nAssistant: Hello!<eos>\nHuman: Bye\nAssistant: See you<eos>\n"
    )
    assert [written[a:b] for a, b in spans] == [" Hello!<eos>", " See you<eos>"]


def test_turn_by_turn_learns_what_follows_the_opening(tokenizer: PreTrainedTokenizerFast) -> None:
    found = learned(tokenizer, CHATML, talk("Hi", "Hello!", "Bye", "See you"))
    assert found == ["Hello!<|end|>", "See you<|end|>"]


def test_marks_and_turns_agree(tokenizer: PreTrainedTokenizerFast) -> None:
    marked = CHATML.replace(
        "<|{{ m.role }}|>{{ m.content }}<|end|>\n",
        "<|{{ m.role }}|>{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|end|>"
        "{% endgeneration %}{% else %}{{ m.content }}<|end|>{% endif %}{{ '\\n' }}",
    )
    conversation = talk("Hi", "Hello!", "Bye", "See you")
    assert learned(tokenizer, marked, conversation) == learned(tokenizer, CHATML, conversation)


def test_tools_and_calls_reach_a_marked_template(tokenizer: PreTrainedTokenizerFast) -> None:
    template = (
        "{{ tools | tojson }}{% for m in messages %}{% generation %}{{ m.content }}"
        "{{ (m.tool_calls or []) | tojson }}{% endgeneration %}{% endfor %}"
    )
    call = {"role": "assistant", "content": "", "tool_calls": [{"name": "add", "arguments": {}}]}
    row = {"messages": [{"role": "user", "content": "Hi"}, call], "tools": [{"name": "add"}]}
    written, _ = render_turns(ChatTemplate(tokenizer, template), parse_conversation(row, 0))
    assert written.startswith('[{"name": "add"}]')
    assert '"name": "add", "arguments": {}' in written.split("]", 1)[1]


@pytest.mark.parametrize(
    ("template", "turns", "fault"),
    [
        (FORGETS, ("Hi", "Hello!", "Bye", "See you"), "written differently up to turn 2"),
        (ALTERNATES, ("Hi", "Hello!", "Bye"), "roles must alternate"),
        (NO_ANSWER, ("Hi", "Hello!"), "has an answer in turn 2 that the chat template leaves out"),
        (NO_MARKED_ANSWER, ("Hi", "Hello!"), "has an answer in turn 2 that the chat template"),
    ],
)
def test_templates_that_cannot_teach_are_refused(
    tokenizer: PreTrainedTokenizerFast, template: str, turns: tuple[str, ...], fault: str
) -> None:
    conversation = talk(*turns) if len(turns) % 2 == 0 else two_answers(*turns)
    with pytest.raises(RowFault, match=fault) as caught:
        render_turns(ChatTemplate(tokenizer, template), conversation)
    assert "plain" in caught.value.mend


def two_answers(question: str, *answers: str) -> TextConversation:
    turns = [{"role": "assistant", "content": each} for each in answers]
    return parse_conversation({"messages": [{"role": "user", "content": question}, *turns]}, 0)


def test_two_answers_in_a_row_are_both_learned(tokenizer: PreTrainedTokenizerFast) -> None:
    assert learned(tokenizer, CHATML, two_answers("Hi", "a", "b")) == ["a<|end|>", "b<|end|>"]
