"""Learned positions."""

from __future__ import annotations

import pytest
import torch

from infinito.errors import ConfigError
from infinito.models.distance_lm.learned_positions import LearnedPositions


def test_counts_on_from_the_start() -> None:
    positions = LearnedPositions(5, 2)
    hidden = torch.zeros(1, 2, 2)
    placed, rotation = positions(hidden, None, 3)
    assert rotation is None
    assert torch.equal(placed[0], positions.weight[3:5])
    assert torch.equal(positions(hidden, torch.tensor([[4, 0]]), 0)[0][0], positions.weight[[4, 0]])


@pytest.mark.parametrize("ids", [None, torch.tensor([[4, 5]])])
def test_too_long_an_input(ids: torch.Tensor | None) -> None:
    message = r"6 tokens is longer than the `model.max_positions`=5 .* `model.position=rotary`"
    with pytest.raises(ConfigError, match=message):
        LearnedPositions(5, 2)(torch.zeros(1, 2, 2), ids, 4)
