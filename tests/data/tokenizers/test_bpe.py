"""Byte-level BPE."""

import pytest

from infinito.data.tokenizers import BpeTokenizer
from infinito.errors import ConfigError, DataError


def test_the_first_merge_is_the_most_frequent_pair():
    """<eos> is 0, the 256 bytes follow, so the first merge is 257."""
    tokenizer = BpeTokenizer(258).build(["ab ab ab ac"], separates_documents=False)
    assert len(tokenizer) == 258
    assert tokenizer.convert_ids_to_tokens(257) == "ab"
    assert tokenizer.eos_token_id == 0


def test_any_text_is_encoded_without_loss():
    tokenizer = BpeTokenizer(257).build(["ab"], separates_documents=False)
    text = "".join(map(chr, [*range(1, 300), 0x4E2D, 0x1F388]))
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_more_tokens_than_the_text_supports():
    with pytest.raises(DataError, match=r"`tokenizer\.vocab_size`=300 .* it has 258 \(bytes"):
        BpeTokenizer(300).build(["ab ab"], separates_documents=False)


def test_fewer_tokens_than_bytes():
    with pytest.raises(ConfigError, match=r"`tokenizer\.vocab_size`=256 is below 257"):
        BpeTokenizer(256)


def test_errors_of_the_text_pass_through_training():
    def pieces():
        yield "some text"
        raise DataError("not UTF-8")

    with pytest.raises(DataError, match="not UTF-8"):
        BpeTokenizer(257).build(pieces(), separates_documents=False)
