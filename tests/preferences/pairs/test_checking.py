"""The doctor finds what was hidden in the data, and nothing in clean data."""

from __future__ import annotations

import pytest

from infinito.data.conversations.rows.faults import BadRow
from infinito.data.tokenizers.char import CharTokenizer
from infinito.preferences.pairs.checking import (
    find_duplicates,
    find_flipped,
    find_overlap,
    inspect_pairs,
)
from infinito.preferences.pairs.pair_set import TextPairs, tokenize_pairs
from infinito.preferences.pairs.text_pair import TextPair
from infinito.preferences.pairs.tokenizing import PairTokenizer


def pair(row: int, prompt: str = "q", chosen: str = "a", rejected: str = "bb") -> TextPair:
    return TextPair(prompt, chosen, rejected, None, row)


CLEAN = [pair(0), pair(1, "r"), pair(2, "s")]


@pytest.fixture
def tokenizer() -> PairTokenizer:
    letters = CharTokenizer().build(["abqrs"], separates_documents=True)
    return PairTokenizer(letters, window=8)


def test_duplicates_and_flipped_pairs() -> None:
    assert find_duplicates(CLEAN) == find_flipped(CLEAN) == []
    assert find_duplicates([*CLEAN, pair(3), pair(4)]) == [3, 4]
    assert find_flipped([*CLEAN, pair(3, chosen="bb", rejected="a")]) == [0, 3]


def test_overlap_sees_through_order_case_and_space() -> None:
    held_out = [pair(0, "new"), pair(1, " Q ", "x"), pair(2, "r", "bb", "a")]
    found = find_overlap(CLEAN, held_out)
    assert found["prompts"] == {"count": 2, "rows": [1, 2]}
    assert found["pairs"] == {"count": 1, "rows": [2]}


def test_findings_of_a_set(tokenizer: PairTokenizer) -> None:
    """Lengths with the end token: prompt 1, chosen 2, 2 and 3, rejected 3, 3 and 3."""
    texts = TextPairs("x", [*CLEAN[:2], pair(2, "s", "aa")], [BadRow(3, "null field", "f", "m")])
    found = inspect_pairs(tokenize_pairs(texts, tokenizer), tokenizer)
    assert (found["rows"], found["pairs"]) == (4, 3)
    assert found["bad_rows"]["by_kind"] == {"null field": 1}
    lengths = found["lengths"]
    assert lengths["longest_sequence_tokens"] == 4
    assert lengths["longer_wins"] == pytest.approx(0.5 / 3)
    assert lengths["shorter_wins"] == pytest.approx(2.5 / 3)
    assert lengths["mean_token_ratio"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert lengths["chosen_tokens"]["mean"] == pytest.approx(7 / 3)
