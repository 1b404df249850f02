"""Scores of pairs from two tables of log-probabilities."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from infinito.data.tokenizers.char import CharTokenizer
from infinito.errors import CheckpointError
from infinito.models.trained import Trained
from infinito.preferences.pairs.pair import TokenizedPair
from infinito.preferences.scoring.scored_pairs import (
    build_score_report,
    check_tokenizers,
    combine_log_probs,
    list_pairs,
)
from tests.preferences.pair_models import make

PAIRS = [
    TokenizedPair([1], [2, 3], [4], "a", 0),
    TokenizedPair([1], [5], [6, 7, 8], None, 4),
]
POLICY = torch.tensor([[-1.0, -3.0], [-4.0, -2.0]], dtype=torch.float64)
REFERENCE = torch.tensor([[-2.0, -2.0], [-4.0, -4.0]], dtype=torch.float64)


def test_rewards_and_margins_by_hand() -> None:
    """β·(log π − log π_ref): 0.5·1 and 0.5·(−1) for the first pair, 0 and 0.5·2 for the second."""
    scores = combine_log_probs(PAIRS, POLICY, REFERENCE)
    rows = list_pairs(PAIRS, scores, 0.5)
    assert [row["row"] for row in rows] == [0, 4]
    assert [row["reward_chosen"] for row in rows] == [0.5, 0.0]
    assert [row["reward_rejected"] for row in rows] == [-0.5, 1.0]
    assert [row["margin"] for row in rows] == [1.0, -1.0]
    assert scores.chosen_tokens.tolist() == [2, 1]
    assert scores.rejected_tokens.tolist() == [1, 3]
    assert build_score_report(scores, 0.5, has_reference=True)["displacement"] is not None


def test_no_reference_counts_as_0_and_moves_nothing() -> None:
    scores = combine_log_probs(PAIRS, POLICY, None)
    assert [row["reward_chosen"] for row in list_pairs(PAIRS, scores, 1.0)] == [-1.0, -4.0]
    assert build_score_report(scores, 1.0, has_reference=False)["displacement"] is None


def test_models_of_other_tokens_do_not_compare() -> None:
    one, other = (
        Trained(make("llama"), CharTokenizer().build([text], separates_documents=False), Path(text))
        for text in ("abc", "abcd")
    )
    check_tokenizers(one, one)
    with pytest.raises(CheckpointError, match=r"abc and abcd have different tokenizers"):
        check_tokenizers(one, other)
