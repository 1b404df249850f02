"""Ranks and weights of a memory's entries."""

from __future__ import annotations

import pytest
import torch

from infinito.models.memory.ranking import rank, weigh_highest


def test_weights_of_the_highest_by_hand() -> None:
    """Of scores log 1, log 3, log 6 and an unreadable one, the two highest weigh ⅓ and ⅔."""
    scores = torch.tensor([[1.0, 3.0, 6.0, 99.0]]).log()
    readable = torch.tensor([[True, True, True, False]])
    assert weigh_highest(scores, readable, 2)[0].tolist() == pytest.approx([0, 1 / 3, 2 / 3, 0])
    assert weigh_highest(scores, readable, 9)[0].tolist() == pytest.approx([0.1, 0.3, 0.6, 0])
    assert not weigh_highest(scores, torch.zeros_like(readable), 2).any()


def test_dead_entries_rank_last() -> None:
    assert rank(torch.tensor([0.1, 0.9, 0.5]), torch.tensor([True, False, True])).tolist() == [
        1,
        2,
        0,
    ]
