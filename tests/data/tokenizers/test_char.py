"""One token per character."""

import pytest

from infinito.data.encoding import encode_documents
from infinito.data.tokenizers import CharTokenizer
from infinito.errors import DataError


def test_tiny_shakespeare_has_the_65_characters_of_the_standard_recipe(shared_data):
    text = (shared_data / "tinyshakespeare/input.txt").read_text()
    tokenizer = CharTokenizer(unknown=False).build([text], separates_documents=False)
    assert len(tokenizer) == 65
    assert tokenizer.encode("\n !") == [0, 1, 2]
    assert tokenizer.eos_token is None


def test_special_tokens_come_first():
    tokenizer = CharTokenizer().build(["ba"], separates_documents=True)
    assert tokenizer.get_vocab() == {"<unk>": 0, "<eos>": 1, "a": 2, "b": 3}
    assert CharTokenizer().build(["ba"], separates_documents=False).eos_token is None


def test_unseen_characters_are_unknown():
    tokenizer = CharTokenizer().build(["ab"], separates_documents=False)
    assert tokenizer.encode("aéb") == [1, 0, 2]


def test_unseen_characters_without_an_unknown_token_are_named():
    tokenizer = CharTokenizer(unknown=False).build(["ab"], separates_documents=False)
    with pytest.raises(DataError, match=r"lacks the characters 'zé'.*tokenizer\.unknown=true"):
        list(encode_documents(tokenizer, [["abé", "z"]], separates_documents=False))
