"""DistanceLM behind a cache."""

from __future__ import annotations

import pytest
import torch
from transformers import DynamicCache, StaticCache
from transformers.cache_utils import DynamicLayer

from tests.models.distance_lm.small_model import (
    build,
    every_attention,
    every_position,
    logits,
    new_cache,
    tokens,
)


class TestCache:
    @every_attention
    @every_position
    @pytest.mark.parametrize("cache", [DynamicCache, StaticCache])
    @pytest.mark.parametrize("steps", [[1] * 12, [5, 7], [5, 1, 3, 3]], ids=str)
    @torch.no_grad()
    def test_in_pieces_as_in_one(
        self, metric: str, position: str, cache: type, steps: list[int]
    ) -> None:
        model, ids = build(metric, position=position), tokens()
        past, pieces = new_cache(cache, model), []
        for piece in ids.split(steps, dim=1):
            pieces.append(model(piece, past_key_values=past).logits)
        torch.testing.assert_close(torch.cat(pieces, 1), logits(model, ids), atol=1e-4, rtol=1e-4)

    def test_the_shared_heads_are_what_is_kept(self) -> None:
        model = build("dot")
        past = model(tokens(), use_cache=True).past_key_values
        assert isinstance(past, DynamicCache)
        layer = past.layers[0]
        assert isinstance(layer, DynamicLayer)
        assert layer.keys is not None
        assert layer.keys.shape == (2, 2, 12, 8)
        assert model(tokens(), use_cache=False).past_key_values is None
