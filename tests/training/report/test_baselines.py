"""The bigram model by hand, and both baselines in the summary of a run."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from infinito.training.report.baselines import bigram_loss


def by_hand(train: list[int], valid: list[int], vocab: int) -> float:
    pairs = Counter(pairwise(train))
    total = 0.0
    for before, after in pairwise(valid):
        chance = (train.count(after) + 1) / (len(train) + vocab)
        occurrences = train[:-1].count(before)
        kinds = len({second for first, second in pairs if first == before})
        share = chance
        if occurrences:
            share = (pairs[before, after] + kinds * chance) / (occurrences + kinds)
        total -= math.log(share)
    return total / (len(valid) - 1)


@pytest.mark.parametrize("vocab", [4, 9])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_witten_and_bells_method_c(vocab: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    train, valid = (draw.integers(4, size=size).astype(np.uint16) for size in (30, 20))
    train[-1] = 3
    found = bigram_loss(train, valid, vocab)
    assert found == pytest.approx(by_hand(train.tolist(), valid.tolist(), vocab))


def test_shares_after_a_token_add_up_to_one() -> None:
    train = np.array([0, 1, 0, 2, 0, 1], np.uint16)
    for before in range(4):
        shares = [math.exp(-bigram_loss(train, np.array([before, after]), 4)) for after in range(4)]
        assert sum(shares) == pytest.approx(1)


def test_a_text_of_one_token_has_no_pairs() -> None:
    assert bigram_loss(np.array([1]), np.array([0, 1]), 2) == pytest.approx(-math.log(2 / 3))


def test_ids_do_not_overflow() -> None:
    """The codes of pairs exceed the 16 bits in which tokens are stored."""
    train = np.array([60_000, 60_001] * 50, np.uint16)
    assert bigram_loss(train, train, 60_002) < 0.1


def test_a_run_says_how_it_compares(
    trained: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    summary = json.loads((trained() / "summary.json").read_text())
    bigram, untrained = (summary["baselines"][name] for name in ("bigram", "untrained"))
    assert 0 < bigram["val/loss"] < untrained["val/loss"]
    assert untrained["val/perplexity"] == pytest.approx(math.exp(untrained["val/loss"]))
    unit = "val/bits_per_byte"
    said = (
        f"{summary[unit]:.3f} bits per byte, where a bigram model has {bigram[unit]:.3f} and an "
        f"untrained one {untrained[unit]:.3f}"
    )
    assert said in " ".join(capsys.readouterr().out.split())
