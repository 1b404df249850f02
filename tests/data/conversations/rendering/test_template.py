"""Templates write all that a message has, or are refused; none of them hangs or stops the run."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from infinito.data.conversations.rendering import template as chat_template
from infinito.data.conversations.rendering.template import ChatTemplate
from infinito.data.conversations.rows.faults import RowFault
from infinito.data.tokenizers.bpe import BpeTokenizer
from infinito.errors import DataError
from infinito.preferences.pairs.rendering import render_pair
from infinito.preferences.pairs.rows.parsing import parse_row

TOOLS = (
    "{% if tools %}{{ tools | tojson }}{% endif %}"
    "{% for m in messages %}[{{ m.role }}|{{ m.content }}|{{ (m.tool_calls or []) | tojson }}"
    "|{{ m.reasoning_content }}]{% endfor %}"
)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return BpeTokenizer(257).build([], separates_documents=True)


def row(**changes: Any) -> dict[str, Any]:
    return {"prompt": "Hi", "chosen": "a", "rejected": "b", **changes}


def answer(**changes: Any) -> list[dict[str, Any]]:
    return [{"role": "assistant", "content": "", **changes}]


def test_an_empty_system_message_is_left_out_by_plain(tokenizer: PreTrainedTokenizerFast) -> None:
    prompt = [{"role": "system", "content": ""}, {"role": "user", "content": "Hi"}]
    texts = render_pair(ChatTemplate(tokenizer, "plain"), parse_row(row(prompt=prompt), 0))
    assert texts == ("Human: Hi\nAssistant:", " a", " b")


def test_tools_calls_and_reasoning_reach_the_template(tokenizer: PreTrainedTokenizerFast) -> None:
    chosen = answer(tool_calls=[{"function": {"name": "add", "arguments": {"a": 1}}}])
    rejected = answer(content="b", reasoning_content="hm")
    pair = parse_row(row(chosen=chosen, rejected=rejected, tools=[{"name": "add"}]), 0)
    prompt, *answers = render_pair(ChatTemplate(tokenizer, TOOLS), pair)
    assert prompt.startswith('[{"name": "add"}][user|Hi|')
    assert '"arguments": {"a": 1}' in answers[0]
    assert "|hm]" in answers[1]


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        (
            {"chosen": answer(tool_calls=[{"name": "f"}]), "rejected": answer(content="b")},
            "tool_calls",
        ),
        (
            {"chosen": answer(content="a", reasoning_content="x"), "rejected": answer(content="b")},
            "reasoning_content",
        ),
        ({"tools": [{"name": "f"}]}, "tools"),
    ],
)
def test_what_a_template_leaves_out_is_refused_by_name(
    changes: dict[str, Any], name: str, tokenizer: PreTrainedTokenizerFast
) -> None:
    pair = parse_row(row(**changes), 0)
    with pytest.raises(RowFault, match=f"has `{name}`, which the chat template") as caught:
        render_pair(ChatTemplate(tokenizer, "plain"), pair)
    assert "`data.chat_template=null`" in caught.value.mend


@pytest.mark.parametrize(
    "template",
    [
        "{{ 1 / 0 }}",
        "{{ messages.foo.bar }}",
        "{{ range(1000000000) | list }}",
        "{{ 'a'.x() }}",
    ],
)
def test_a_template_that_fails_is_a_fault_of_the_row(
    template: str, tokenizer: PreTrainedTokenizerFast
) -> None:
    with pytest.raises(RowFault, match="is refused by the chat template: ") as caught:
        render_pair(ChatTemplate(tokenizer, template), parse_row(row(), 0))
    assert not caught.value.fault.endswith(".")
    assert caught.value.mend.startswith("Mend the roles")


def test_a_template_that_is_not_jinja_names_its_line(tokenizer: PreTrainedTokenizerFast) -> None:
    broken = ChatTemplate(tokenizer, "{{ messages }}\n{% if %}")
    with pytest.raises(
        RowFault, match=r"chat template in line 2: Expected an expression"
    ) as caught:
        render_pair(broken, parse_row(row(), 0))
    assert caught.value.mend.startswith("Mend the template")


def test_a_template_without_end_ends_the_run(
    tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_template, "RENDERING_S", 0.1)
    loops = "".join(f"{{% for {name} in range(99999) %}}" for name in "abcd") + "{% endfor %}" * 4
    with pytest.raises(DataError, match=r"took more than 0\.1 CPU seconds for row 3"):
        render_pair(ChatTemplate(tokenizer, loops), parse_row(row(), 3))


def test_a_template_that_fills_the_memory_ends_the_run(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    """One operation, which no timer interrupts."""
    with pytest.raises(DataError, match="took more than 256 MiB for row 3"):
        render_pair(ChatTemplate(tokenizer, "{{ 'a' * 3000000000 }}"), parse_row(row(), 3))


@pytest.mark.parametrize(
    "template",
    [
        "{{ 9 ** 9 ** 9 }}",
        "{%- generation %}{{ 9 ** 9 ** 9 }}{% endgeneration -%}",
        "{% set x = 2 %}{% if x ** messages | length %}{% endif %}",
    ],
)
def test_a_template_that_computes_powers_is_refused(
    tokenizer: PreTrainedTokenizerFast, template: str
) -> None:
    with pytest.raises(DataError, match=r"computes a power .*`data.chat_template`, e.g. plain"):
        ChatTemplate(tokenizer, template)


def test_two_asterisks_in_a_text_are_no_power(tokenizer: PreTrainedTokenizerFast) -> None:
    template = "{{ '**bold**' }}{% for each in messages %}{{ each.content }}{% endfor %}"
    assert render_pair(ChatTemplate(tokenizer, template), parse_row(row(), 0))[0].startswith("**b")
