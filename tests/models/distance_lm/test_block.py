"""The parts of a block."""

from __future__ import annotations

import pytest
import torch

from infinito.models.distance_lm.block import (
    AttentionContext,
    DistanceAttention,
    DistanceBlock,
    LearnedScale,
)
from infinito.models.distance_lm.config import DistanceLMConfig


@pytest.mark.parametrize("start", [0.001, 0.1, 0.5, 1.0, 2.0, 7.3, 20.0, 100.0, 1e4])
def test_a_learned_scale_starts_where_it_should(start: float) -> None:
    scale = LearnedScale(3, start)
    with torch.no_grad():
        scale.raw.copy_(scale.first_raw())
    assert scale().tolist() == pytest.approx([start] * 3, rel=2e-7)


def test_a_learned_scale_stays_positive() -> None:
    scale = LearnedScale(1, 1.0)
    with torch.no_grad():
        scale.raw.fill_(-30.0)
    assert scale().item() > 0


@pytest.mark.parametrize(("kv_heads", "features"), [(4, 96), (2, 64), (1, 48)])
def test_one_projection_makes_all_heads(kv_heads: int, features: int) -> None:
    config = DistanceLMConfig(hidden_size=32, num_key_value_heads=kv_heads, position="learned")
    attention = DistanceAttention(config, 0)
    assert attention.qkv.weight.shape == (features, 32)
    queries, keys, values = attention.project(torch.randn(2, 5, 32), AttentionContext())
    assert queries.shape == (2, 4, 5, 8)
    assert keys.shape == values.shape == (2, kv_heads, 5, 8)


def test_dropout_acts_in_training_only() -> None:
    config = DistanceLMConfig(hidden_size=32, dropout=0.5, position="learned")
    block = DistanceBlock(config, 0)
    hidden = torch.randn(1, 4, 32)

    def run() -> torch.Tensor:
        return block(hidden, AttentionContext())

    assert not torch.equal(run(), run())
    block.eval()
    assert torch.equal(run(), run())
