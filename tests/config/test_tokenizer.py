"""Sizes of a vocabulary that no text has are refused before memory is reserved for them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from infinito.config import RunConf
from infinito.data.tokenizers import BpeTokenizer
from infinito.errors import ConfigError, DataError


def test_a_vocabulary_that_no_text_supports_is_refused(configured: Callable[..., RunConf]) -> None:
    with pytest.raises(ConfigError, match=r"vocab_size`=1000000000.*at most 10,000,000"):
        configured("tokenizer=bpe", "tokenizer.vocab_size=1000000000")
    with pytest.raises(ConfigError, match=r"vocab_size`=1000000000 is above 10,000,000"):
        BpeTokenizer(10**9)


def test_a_vocabulary_that_this_text_does_not_support_is_refused() -> None:
    with pytest.raises(DataError, match=r"vocab_size`=10000000 is more .* it has 258 "):
        BpeTokenizer(10**7).build(["ab ab"], separates_documents=False)
