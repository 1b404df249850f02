"""Conversations become token ids of which exactly the assistant's are learned."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from infinito.data.conversations.rendering.tokenizing import ConversationTokenizer
from infinito.data.conversations.rows.faults import RowFault, TooLong
from infinito.data.conversations.rows.parsing import parse_conversation
from infinito.data.tokenizers.bpe import BpeTokenizer
from infinito.data.tokenizers.char import CharTokenizer
from infinito.errors import DataError

TEXT = parse_conversation({"prompt": "Hi", "completion": "Hé!"}, 4)
CHATML = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}" + (
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return BpeTokenizer(257).build([], separates_documents=True)


def encode(tokenizer: PreTrainedTokenizerFast, **settings: Any) -> ConversationTokenizer:
    return ConversationTokenizer(tokenizer, **{"window": 99, "chat_template": "plain", **settings})


def test_answer_and_end_are_learned_and_nothing_else(tokenizer: PreTrainedTokenizerFast) -> None:
    found = encode(tokenizer)(TEXT)
    assert tokenizer.decode(list(found.ids)) == "Human: Hi\nAssistant: Hé!<eos>\n"
    assert tokenizer.decode([found.ids[place] for place in found.learned]) == " Hé!<eos>"
    assert tokenizer.decode(list(found.inputs)) == "Human: Hi\nAssistant: Hé!"
    assert found.learned_bytes == len(" Hé!".encode())
    assert found.row == 4


def test_transformers_mask_is_ours(tokenizer: PreTrainedTokenizerFast) -> None:
    """Where a template has marks, `apply_chat_template` says the same."""
    row = [{"role": r, "content": c} for r, c in (("user", "a"), ("assistant", "é b")) * 2]
    plain = encode(tokenizer)
    found = plain(parse_conversation({"messages": row}, 0))
    theirs: Any = tokenizer.apply_chat_template(
        row, chat_template=plain.template_text, return_dict=True, return_assistant_tokens_mask=True
    )
    assert list(found.ids) == theirs["input_ids"]
    mask = [int(place in found.learned) for place in range(len(found.ids))]
    assert mask == theirs["assistant_masks"]


def test_an_answer_without_a_special_end_gets_one(tokenizer: PreTrainedTokenizerFast) -> None:
    found = encode(tokenizer, chat_template=CHATML)(TEXT)
    assert tokenizer.decode([found.ids[place] for place in found.learned]) == "Hé!<eos>"


def test_text_without_a_template_is_learned_as_it_is(tokenizer: PreTrainedTokenizerFast) -> None:
    found = encode(tokenizer, chat=False)(TEXT)
    assert tokenizer.decode(list(found.ids)) == "HiHé!<eos>"
    assert list(found.learned) == list(range(2, len(found.ids)))


def test_a_token_across_a_mark_is_split() -> None:
    """Tokens that the model could not write at this place would never be asked of it."""
    merges = BpeTokenizer(258).build(["ab ab ab ab"], separates_documents=True)
    encoder = encode(merges, chat=False)
    text = parse_conversation({"prompt": "a", "completion": "b"}, 0)
    assert encoder.merges(text)
    assert merges.convert_ids_to_tokens(list(encoder(text).ids)) == ["a", "b", "<eos>"]
    assert not encoder.merges(parse_conversation({"prompt": "a", "completion": "c"}, 0))


def test_what_is_too_long_is_never_cut(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(TooLong, match="has 27 tokens, the window has 26") as caught:
        encode(tokenizer, window=26)(TEXT)
    assert caught.value.mend == "Use `data.block_size=27`"
    encode(tokenizer, window=27)(TEXT)


def test_ids_beyond_the_model_are_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(DataError, match=r"row 4: token id 221 is beyond the model's 100"):
        encode(tokenizer, vocab=100)(TEXT)


def test_a_tokenizer_without_an_end_is_refused() -> None:
    endless = CharTokenizer().build(["abc"], separates_documents=False)
    with pytest.raises(DataError, match="has no end-of-text token"):
        encode(endless)


def test_a_character_without_a_token_is_a_fault() -> None:
    chars = CharTokenizer(unknown=False).build(["Human: Hi\nAssistant"], separates_documents=True)
    with pytest.raises(RowFault, match="does not know") as caught:
        encode(chars)(TEXT)
    assert "`tokenizer.unknown=true`" in caught.value.mend


def test_marks_around_nothing_are_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    call = {"role": "assistant", "content": "", "tool_calls": [{"name": "f", "arguments": {}}]}
    row = {"messages": [{"role": "user", "content": "Hi"}, call]}
    template = "{{ messages[1].tool_calls }}{% generation %}{% endgeneration %}"
    with pytest.raises(RowFault, match="has no token that the assistant wrote"):
        encode(tokenizer, chat_template=template)(parse_conversation(row, 0))


def test_a_prompt_ends_where_the_answer_begins(tokenizer: PreTrainedTokenizerFast) -> None:
    encoder = encode(tokenizer)
    whole = encoder(TEXT)
    assert encoder.encode_prompt(TEXT.prompt) == list(whole.ids[: whole.learned[0]])
