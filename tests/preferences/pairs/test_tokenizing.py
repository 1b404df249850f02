"""Token ids of pairs: one prompt for both answers, an end to each, cut only as asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from infinito.data.conversations.rows.faults import RowFault
from infinito.data.tokenizers.bpe import BpeTokenizer
from infinito.data.tokenizers.char import CharTokenizer
from infinito.errors import DataError
from infinito.preferences.pairs.text_pair import TextPair
from infinito.preferences.pairs.tokenizing import PairTokenizer

PAIR = TextPair("abc", " de", " dfg", "letters", 3, 0.5)
MESSAGES = TextPair(
    ({"role": "user", "content": "abc"},),
    ({"role": "assistant", "content": "de"},),
    ({"role": "assistant", "content": "dfg"},),
    None,
    0,
)


@pytest.fixture(scope="module")
def letters() -> PreTrainedTokenizerFast:
    text = "abcdefg Human:Assistant\n"
    return CharTokenizer(unknown=False).build([text], separates_documents=True)


def made(tokenizer: PreTrainedTokenizerFast, **settings: Any) -> PairTokenizer:
    return PairTokenizer(tokenizer, **{"window": 100, **settings})


def text_of(tokenizer: PreTrainedTokenizerFast, ids: Sequence[int]) -> str:
    text = tokenizer.decode(list(ids))
    assert isinstance(text, str)
    return text


def test_ids_end_with_the_end_of_text(letters: PreTrainedTokenizerFast) -> None:
    pair = made(letters)(PAIR)
    texts = [text_of(letters, ids) for ids in (pair.prompt_ids, pair.chosen_ids, pair.rejected_ids)]
    assert texts == ["abc", " de<eos>", " dfg<eos>"]
    assert (pair.category, pair.row, pair.weight) == ("letters", 3, 0.5)


def test_messages_take_the_template(letters: PreTrainedTokenizerFast) -> None:
    pair = made(letters, chat_template="plain")(MESSAGES)
    assert text_of(letters, pair.prompt_ids) == "Human: abc\nAssistant:"
    assert text_of(letters, pair.chosen_ids) == " de<eos>"
    with pytest.raises(DataError, match=r"`data.chat_template=plain`"):
        made(letters)(MESSAGES)


def test_chat_puts_text_into_the_same_template(letters: PreTrainedTokenizerFast) -> None:
    text = TextPair("abc", "de", "dfg", None, 0)
    both = [made(letters, chat=True, chat_template="plain")(pair) for pair in (text, MESSAGES)]
    assert both[0] == both[1]


def test_dialogues_keep_their_own_turns(letters: PreTrainedTokenizerFast) -> None:
    pair = TextPair("abc", "de", "dfg", None, 0, has_turns=True)
    assert text_of(letters, made(letters, chat=True)(pair).prompt_ids) == "abc"


def test_a_template_may_end_the_answer_itself(letters: PreTrainedTokenizerFast) -> None:
    """As ChatML does: "…<|im_end|>\\n" holds the end-of-text token, which is not doubled."""
    template = (
        "{% for m in messages %}{{ m['content'] }}{{ eos_token }}\n{% endfor %}"
        "{% if add_generation_prompt %} {% endif %}"
    )
    pair = made(letters, chat_template=template)(MESSAGES)
    assert text_of(letters, pair.prompt_ids) == "abc<eos>\n"
    assert text_of(letters, pair.chosen_ids) == "de<eos>"


def test_a_template_that_rewrites_the_prompt_is_refused(letters: PreTrainedTokenizerFast) -> None:
    template = "{{ messages | length }}{% for m in messages %}{{ m['content'] }}{% endfor %}"
    with pytest.raises(RowFault, match="another prompt when an answer follows"):
        made(letters, chat_template=template)(MESSAGES)
    with pytest.raises(RowFault, match="refused by the chat template: roles"):
        made(letters, chat_template="{{ raise_exception('roles') }}")(MESSAGES)


def test_merges_at_the_boundary_leave_the_prompt_as_it_is() -> None:
    """Trained on "abab…", BPE joins a prompt's last "a" with an answer's first "b"."""
    tokenizer = BpeTokenizer(258).build(["ab" * 50], separates_documents=True)
    encode = made(tokenizer)
    assert encode.merges(TextPair("a", "b", "c", None, 0))
    assert not encode.merges(TextPair("a", "d", "c", None, 0))
    pair = encode(TextPair("a", "b", "c", None, 0))
    texts = [text_of(tokenizer, ids) for ids in (pair.prompt_ids, pair.chosen_ids)]
    assert texts == ["a", "b<eos>"]


def test_truncation_is_what_was_asked_for(letters: PreTrainedTokenizerFast) -> None:
    """3 + 5 tokens in a window of 6: nothing, the prompt's start, or the answers' ends."""
    with pytest.raises(RowFault, match="3 tokens of prompt and 5 of answer, the window has 6") as e:
        made(letters, window=6)(PAIR)
    assert "`data.block_size=8` or `data.truncate=answer_end`" in e.value.mend
    cut = made(letters, window=6, truncate="prompt_start")(PAIR)
    assert text_of(letters, cut.prompt_ids) == "c"
    assert text_of(letters, cut.rejected_ids) == " dfg<eos>"
    cut = made(letters, window=6, truncate="answer_end")(PAIR)
    assert text_of(letters, cut.prompt_ids) == "abc"
    assert [text_of(letters, ids) for ids in (cut.chosen_ids, cut.rejected_ids)] == [" de", " df"]
    assert made(letters, window=8)(PAIR).tokens == 3 + 4 + 5


def test_answers_equal_once_cut_and_prompts_that_fill_the_window(
    letters: PreTrainedTokenizerFast,
) -> None:
    with pytest.raises(RowFault, match="equal answers as token ids once cut"):
        made(letters, window=5, truncate="answer_end")(PAIR)
    with pytest.raises(RowFault, match=r"as token ids$") as caught:
        made(letters)(replace(PAIR, rejected=PAIR.chosen))
    assert caught.value.mend == "Leave the row out"
    with pytest.raises(RowFault, match="7 tokens of prompt and 5 of answer") as caught:
        made(letters, window=6, truncate="answer_end")(replace(PAIR, prompt="abcabca"))
    assert caught.value.kind == "prompt too long"
    assert "`data.truncate=prompt_start`" in caught.value.mend
    with pytest.raises(RowFault, match="7 tokens of prompt and 5 of answer") as caught:
        made(letters, window=4)(replace(PAIR, prompt="abcabca"))
    assert caught.value.mend == "Use `data.block_size=12`"  # no cut of one leaves room


def test_no_end_of_text() -> None:
    endless = CharTokenizer().build(["abc"], separates_documents=False)
    with pytest.raises(DataError, match="no end-of-text token"):
        made(endless)
    with pytest.raises(DataError, match=r"`data.end_token`=</s> is no token"):
        made(endless, end_token="</s>")
    assert made(endless, end_token="c").end_id == endless.get_vocab()["c"]


def test_ids_beyond_the_vocabulary(letters: PreTrainedTokenizerFast) -> None:
    with pytest.raises(DataError, match=r"row 3: token id .* is beyond the model's 5 embeddings"):
        made(letters, vocab=5)(PAIR)


def test_a_beginning_of_text_token_stays_before_a_cut_prompt(shared_data: Any) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(shared_data / "stories260k/hf")
    assert isinstance(tokenizer, PreTrainedTokenizerFast)
    encode = made(tokenizer, window=9, truncate="prompt_start")
    text = TextPair("Once upon a time there was", " a dog", " a cat", None, 0)
    template = "{{ bos_token }}{% for m in messages %}[{{ m['content'] }}]{% endfor %}"
    chat = made(tokenizer, chat=True, chat_template=template)
    assert chat(text).prompt_ids.count(tokenizer.bos_token_id) == 1
    assert not chat.merges(text)
    pair = encode(text)
    assert pair.prompt_ids[0] == tokenizer.bos_token_id
    assert text_of(tokenizer, pair.chosen_ids).strip() == "a dog</s>"
    assert len(pair.prompt_ids) + max(len(pair.chosen_ids), len(pair.rejected_ids)) == 9


def test_plain_chat_begins_as_the_tokenizer_begins_any_text(shared_data: Any) -> None:
    """Generation adds the token of a text's beginning to a prompt; training must, too."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(shared_data / "stories260k/hf")
    assert isinstance(tokenizer, PreTrainedTokenizerFast)
    pair = made(tokenizer, chat=True, chat_template="plain")(TextPair("Hi", "a", "b", None, 0))
    assert list(pair.prompt_ids) == tokenizer("Human: Hi\nAssistant:")["input_ids"]
    assert pair.prompt_ids[0] == tokenizer.bos_token_id


LLAMA_3 = (
    "{% for m in messages %}<|start|>{{ m['role'] }}\n{{ m['content'] }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)


def test_an_answer_that_the_template_ends_gets_no_second_end() -> None:
    tokenizer = BpeTokenizer(257).build([], separates_documents=True)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|start|>", "<|eot_id|>"]})
    text = TextPair("Hi", "a", "b", None, 0)
    encode = made(tokenizer, chat=True, chat_template=LLAMA_3)
    turn_end = tokenizer.convert_tokens_to_ids("<|eot_id|>")
    assert list(encode(text).chosen_ids) == [*tokenizer("a")["input_ids"], turn_end]
    assert encode.end_ids(text) == [tokenizer.eos_token_id, turn_end]
    named = made(tokenizer, chat=True, chat_template=LLAMA_3, end_token="<eos>")
    assert named(text).chosen_ids[-1] == tokenizer.eos_token_id
    assert named.end_ids(text) == [tokenizer.eos_token_id]
    assert made(tokenizer, chat=False).end_ids(text) == [tokenizer.eos_token_id]


def test_a_character_without_a_token_is_a_fault_of_its_row(
    letters: PreTrainedTokenizerFast,
) -> None:
    with pytest.raises(RowFault, match="a character that the tokenizer does not know"):
        made(letters)(replace(PAIR, prompt="€"))
