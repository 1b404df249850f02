"""Words with a fixed vocabulary, as the WikiText perplexities have it."""

import pytest

from infinito.data.tokenizers import WordTokenizer
from infinito.errors import DataError


def build(text, **options):
    return WordTokenizer(**options).build([text], separates_documents=False)


def test_words_are_ordered_by_frequency_then_alphabet():
    tokenizer = build("b a c c\n")
    assert tokenizer.get_vocab() == {"<unk>": 0, "<eos>": 1, "c": 2, "a": 3, "b": 4}


def test_every_line_ends_with_eos_and_unseen_words_are_unknown():
    tokenizer = build(" a b \n")
    assert tokenizer.encode(" a \n \n b x \n") == [2, 1, 1, 3, 0, 1]


def test_text_that_spells_unk_is_the_unknown_token():
    assert build("<unk> a\n").encode("a <unk>") == [2, 0]


def test_decoding_gives_lines_back():
    tokenizer = build(" a b \n c \n")
    assert tokenizer.decode(tokenizer.encode(" a b \n c \n")) == "a b \n c \n"


def test_the_most_frequent_words_are_kept():
    tokenizer = build("a a a b b c\n", vocab_size=4)
    assert set(tokenizer.get_vocab()) == {"<unk>", "<eos>", "a", "b"}
    assert set(build("a a a b b c\n", min_frequency=3).get_vocab()) == {"<unk>", "<eos>", "a"}


def test_more_words_than_the_text_has():
    with pytest.raises(DataError, match=r"`tokenizer\.vocab_size`=6 .* it has 5 words"):
        build("a b c\n", vocab_size=6)


def test_wikitext2_has_its_published_vocabulary(shared_data):
    text = (shared_data / "wikitext-2/train.txt").read_text()
    lines = text.splitlines(keepends=True)
    tokenizer = WordTokenizer().build(lines, separates_documents=False)
    assert len(tokenizer) == 33_278
