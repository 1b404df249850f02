"""Which template a conversation is put through, what ends an answer, and what is refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from transformers import GenerationConfig

from infinito.chat.prompts import Prompts, find_tuned_template
from infinito.data.tokenizers.bpe import BpeTokenizer
from infinito.errors import DataError
from infinito.models.trained import Trained

USER = {"role": "user", "content": "hi"}
TURNS = (
    "{% for m in messages %}[{{ m.content }}]{% endfor %}{% if add_generation_prompt %}A{% endif %}"
)
NO_SYSTEM = TURNS.replace("messages %}", "messages if m.role != 'system' %}")
REFUSES = "{{ raise_exception('roles must alternate') }}"


def with_template(trained: Trained, template: str | None) -> Trained:
    tokenizer = copy.deepcopy(trained.tokenizer)
    tokenizer.chat_template = template
    return replace(trained, tokenizer=tokenizer)


def test_a_model_without_a_template_is_told_how_to_give_one(
    talker: Callable[..., Trained],
) -> None:
    with pytest.raises(DataError, match=r"distance_l1 has no chat template.*chat\.template=plain"):
        Prompts(talker())


def test_the_tokenizers_own_template_is_taken_and_a_given_one_goes_before(
    talker: Callable[..., Trained],
) -> None:
    trained = with_template(talker(), TURNS)
    assert Prompts(trained).render([USER]) == "[hi]A"
    assert Prompts(trained, "{{ messages[0].content }}").render([USER]) == "hi"
    assert Prompts(trained, "plain").render([USER]) == "Human: hi\nAssistant:"


def test_the_template_that_a_run_was_tuned_with_is_found(tmp_path: Path) -> None:
    sections = ["model", "attention", "tokenizer", "optimizer", "trainer", "generation"]
    kept = "".join(f"{name}: {{}}\n" for name in sections)
    (tmp_path / "model").mkdir()
    config = tmp_path / "config.yaml"
    config.write_text(f"{kept}data:\n  name: pairs\n  chat_template: plain\n")
    assert find_tuned_template(tmp_path / "model") == "plain"
    config.write_text(f"{kept}data:\n  name: pairs\n  chat_template: plain\n  chat: false\n")
    assert find_tuned_template(tmp_path / "model") is None
    config.write_text(f"{kept}data: {{}}\n")
    assert find_tuned_template(tmp_path / "model") is None
    config.write_text("a: b\n")
    assert find_tuned_template(tmp_path / "model") is None
    assert find_tuned_template(Path("elsewhere/model")) is None


def test_an_answer_ends_at_the_models_the_tokenizers_and_the_templates_end(
    talker: Callable[..., Trained],
) -> None:
    tokenizer = BpeTokenizer(257).build([], separates_documents=True)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<turn>", "<end>"]})
    tokenizer.chat_template = "{% for m in messages %}<turn>{{ m.content }}<end>\n{% endfor %}"
    trained = replace(talker(), tokenizer=tokenizer)
    trained.model.generation_config = GenerationConfig(eos_token_id=[7, 8])
    end = tokenizer.convert_tokens_to_ids("<end>")
    assert Prompts(trained).end_ids == {7, 8, tokenizer.eos_token_id, end}
    assert Prompts(trained).stops == ()
    assert Prompts(trained, "plain").end_ids == {7, 8, tokenizer.eos_token_id}
    assert Prompts(trained, "plain").stops == ("\nHuman:",)


@pytest.mark.parametrize(
    ("template", "messages", "said"),
    [
        (REFUSES, [USER], "refuses the messages: roles must alternate.*chat.template=plain"),
        (
            NO_SYSTEM,
            [{"role": "system", "content": "be"}, USER],
            "the chat template leaves out the system's message",
        ),
        ("{% if false %}{% endif %}", [USER], "the chat template makes no token of the messages"),
        ("plain", [{"role": "user", "content": "a\ud83d"}], "not UTF-8 at character 2"),
    ],
    ids=["refused", "no system", "empty", "surrogate"],
)
def test_messages_that_cannot_be_read_are_refused(
    talker: Callable[..., Trained], template: str, messages: list[dict[str, str]], said: str
) -> None:
    prompts = Prompts(talker(), template)
    with pytest.raises(DataError, match=said):
        prompts.encode(messages)


def test_a_character_that_the_tokenizer_lacks_is_refused(talker: Callable[..., Trained]) -> None:
    from infinito.data.tokenizers.char import CharTokenizer

    strict = CharTokenizer(unknown=False).build(["Human: Assistant:\n"], separates_documents=True)
    prompts = Prompts(replace(talker(), tokenizer=strict), "plain")
    with pytest.raises(DataError, match="a character that the tokenizer does not know"):
        prompts.encode([{"role": "user", "content": "ж"}])


def test_a_template_that_computes_powers_is_refused(talker: Callable[..., Trained]) -> None:
    with pytest.raises(DataError, match="computes a power"):
        Prompts(talker(), "{{ 9**9**9 }}")
