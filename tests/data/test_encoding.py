"""Documents become ids and counts; where text is cut into pieces does not matter."""

import numpy as np
import pytest

from infinito.data import encoding
from infinito.data.encoding import count_ids, encode_documents, id_dtype
from infinito.data.sources import TextFiles
from infinito.data.sources.text_reading import PIECE_CHARACTERS
from infinito.data.tokenizers import BpeTokenizer, CharTokenizer, PretrainedTokenizer, WordTokenizer

SPECS = [CharTokenizer(), BpeTokenizer(280), WordTokenizer()]


def encode(tokenizer, documents, separates=True):
    chunks = list(encode_documents(tokenizer, documents, separates_documents=separates))
    return np.concatenate([c.ids for c in chunks]).tolist(), chunks


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: type(s).__name__)
def test_pieces_of_a_file_give_the_ids_of_the_whole_text(spec, tmp_path):
    line = "def f(x):  # déjà vu\n    return  x+1\n\n\n'the end'\t 🎈\n"
    text = line * (5 * PIECE_CHARACTERS // len(line)) + "no line end"
    (tmp_path / "a.txt").write_text(text)
    source = TextFiles(tmp_path / "a.txt", valid_fraction=0, test_fraction=0)
    tokenizer = spec.build([text], separates_documents=False)
    ids, chunks = encode(tokenizer, source.documents("train"), separates=False)
    assert ids == tokenizer.encode(text)
    assert sum(c.utf8_bytes for c in chunks) == len(text.encode())
    assert sum(c.words for c in chunks) == len(text.split()) + text.count("\n")


def test_gpt2_tokens_of_tiny_shakespeare_are_those_published(shared_data):
    """nanoGPT's recipe reports 301,966 + 36,059 tokens for its two splits, cut between words."""
    path = shared_data / "tinyshakespeare/input.txt"
    source = TextFiles(path, valid_fraction=0, test_fraction=0)
    tokenizer = PretrainedTokenizer(str(shared_data / "gpt2-tokenizer")).build()
    ids, _ = encode(tokenizer, source.documents("train"), separates=False)
    assert len(ids) == 301_966 + 36_059


@pytest.mark.parametrize(
    ("text", "separates", "expected"),
    [("ab", True, [1, 2, 0]), ("ab", False, [1, 2]), ("", True, [0])],
)
def test_documents_end_with_eos_where_they_are_separated(text, separates, expected):
    tokenizer = BpeTokenizer(257).build(["ab"], separates_documents=True)
    a, b = tokenizer.encode("ab")
    ids, chunks = encode(tokenizer, [[text] if text else []], separates)
    assert ids == [{0: 0, 1: a, 2: b}[i] for i in expected]
    assert sum(c.documents for c in chunks) == 1
    assert sum(c.utf8_bytes for c in chunks) == len(text)


def test_documents_that_are_encoded_together_get_the_ids_of_each(monkeypatch):
    """Whatever is encoded at once, an empty document between others included."""
    tokenizer = BpeTokenizer(258).build(["abc abd\n"], separates_documents=True)
    documents = [["abc ", "abd"], [], ["a"], ["", "bd\n"], ["abc abd"]]
    alone = [encode(tokenizer, [each])[0] for each in documents]
    for at_once in (1, 5, 1000):
        monkeypatch.setattr(encoding, "CHARACTERS_AT_ONCE", at_once)
        ids, chunks = encode(tokenizer, documents)
        assert ids == [i for each in alone for i in each]
        assert sum(chunk.documents for chunk in chunks) == 5
        assert sum(chunk.words for chunk in chunks) == 7
    assert len(chunks) == 1


def test_a_document_that_ends_with_eos_gets_no_second():
    tokenizer = WordTokenizer().build(["a\n"], separates_documents=True)
    assert encode(tokenizer, [["a\n"], ["a"]])[0] == [2, 1, 2, 1]


def test_text_that_spells_a_special_token_is_text():
    tokenizer = CharTokenizer().build(["<eos>"], separates_documents=True)
    ids, _ = encode(tokenizer, [["<eos>"]], separates=False)
    assert len(ids) == 5
    assert tokenizer.encode("<eos>") == [tokenizer.eos_token_id]


def test_truncation_and_padding_of_a_tokenizer_do_not_touch_documents():
    tokenizer = CharTokenizer().build(["ab"], separates_documents=False)
    tokenizer("abab", truncation=True, max_length=2)
    assert len(encode(tokenizer, [["abab"]], separates=False)[0]) == 4


def test_the_smallest_type_that_holds_every_id():
    assert id_dtype(1 << 16) == np.uint16
    assert id_dtype((1 << 16) + 1) == np.uint32


def test_skipped_ids_are_counted():
    tokenizer = CharTokenizer().build(["ab"], separates_documents=False)
    assert count_ids(tokenizer) == len(tokenizer) == 3
