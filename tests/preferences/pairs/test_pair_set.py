"""Files become sets of pairs: bad rows refused or counted, held-out prompts kept apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infinito.data.conversations.rows.faults import count_kinds
from infinito.data.tokenizers.char import CharTokenizer
from infinito.errors import DataError
from infinito.preferences.pairs.pair_set import (
    read_pairs,
    require_usable,
    split_by_prompt,
    tokenize_pairs,
)
from infinito.preferences.pairs.tokenizing import PairTokenizer


def written(path: Path, rows: list[dict[str, object]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def good(n: int) -> dict[str, object]:
    return {"prompt": f"q{n}", "chosen": f"yes {n}", "rejected": f"no {n}"}


@pytest.fixture
def tokenizer() -> PairTokenizer:
    letters = CharTokenizer().build(["qyesno 0123456789"], separates_documents=True)
    return PairTokenizer(letters, window=12)


def test_bad_rows_are_refused_with_row_and_mend(tmp_path: Path, tokenizer: PairTokenizer) -> None:
    long: dict[str, object] = {"prompt": "q" * 20, "chosen": "yes", "rejected": "no"}
    path = written(tmp_path / "a.jsonl", [good(0), {"prompt": None}, good(1), long, good(2)])
    pairs = tokenize_pairs(read_pairs(path), tokenizer)
    assert [pair.row for pair in pairs.pairs] == [0, 2, 4]
    assert count_kinds(pairs.bad) == {"missing field": 1, "prompt too long": 1}
    with pytest.raises(DataError, match="2 of 5 rows cannot be used") as caught:
        require_usable(pairs, "error")
    message = str(caught.value)
    for part in ("row 1: lacks `chosen`", "row 3: has 20 tokens", "`data.on_bad_row=drop`"):
        assert part in message
    assert require_usable(pairs, "drop") is pairs


def test_nothing_left(tmp_path: Path, tokenizer: PairTokenizer) -> None:
    empty = tokenize_pairs(read_pairs(written(tmp_path / "a.jsonl", [])), tokenizer)
    with pytest.raises(DataError, match="holds no pair"):
        require_usable(empty, "error")
    bad = tokenize_pairs(read_pairs(written(tmp_path / "b.jsonl", [{}, {}])), tokenizer)
    with pytest.raises(DataError, match=r"all rows were dropped \(2 missing field\)"):
        require_usable(bad, "drop")


def test_parts_share_no_prompt_and_lose_no_pair(tmp_path: Path) -> None:
    rows = [good(n % 10) | {"chosen": f"yes {n}"} for n in range(30)]
    texts = read_pairs(written(tmp_path / "a.jsonl", rows))
    training, held_out = split_by_prompt(texts, 0.2)
    assert len({pair.prompt for pair in held_out.pairs}) == 2
    assert not {pair.prompt for pair in training.pairs} & {pair.prompt for pair in held_out.pairs}
    assert sorted(pair.row for pair in training.pairs + held_out.pairs) == list(range(30))
    more = read_pairs(written(tmp_path / "b.jsonl", [*rows, *({**row} for row in rows)]))
    assert {pair.prompt for pair in split_by_prompt(more, 0.2)[1].pairs} == {
        pair.prompt for pair in held_out.pairs
    }
    with pytest.raises(DataError, match=r"10 different prompts, of which .* is 0"):
        split_by_prompt(texts, 0.01)


def test_a_limit_reads_the_first_rows(tmp_path: Path) -> None:
    texts = read_pairs(written(tmp_path / "a.jsonl", [good(n) for n in range(9)]), limit=4)
    assert [pair.row for pair in texts.pairs] == [0, 1, 2, 3]
