"""The pairs that ship are what they say: 8 and 8 twins, balanced in length and category."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from infinito.preferences.pairs.bundled import HELD_OUT, TRAINING
from infinito.preferences.pairs.checking import find_duplicates, find_flipped, find_overlap
from infinito.preferences.pairs.pair_set import read_pairs


@pytest.mark.parametrize("path", [TRAINING, HELD_OUT], ids=lambda path: path.stem)
def test_balanced(path: Path) -> None:
    read = read_pairs(str(path))
    assert (len(read.pairs), read.bad) == (8, [])
    assert Counter(pair.category for pair in read.pairs) == dict.fromkeys(
        ("helpfulness", "accuracy", "reasoning", "safety"), 2
    )
    ratios = [len(pair.chosen) / len(pair.rejected) for pair in read.pairs]
    assert sum(ratio < 1 for ratio in ratios) == 4
    assert 0.8 <= np.mean(ratios) <= 1.25
    assert find_duplicates(read.pairs) == find_flipped(read.pairs) == []


def test_twins_share_a_category_and_nothing_else() -> None:
    training, held_out = (read_pairs(str(path)).pairs for path in (TRAINING, HELD_OUT))
    assert [pair.category for pair in training] == [pair.category for pair in held_out]
    assert find_overlap(training, held_out)["prompts"]["count"] == 0
