"""DistanceLM on padded and packed rows."""

from __future__ import annotations

import pytest
import torch
from transformers import DynamicCache, StaticCache

from tests.models.distance_lm.small_model import (
    build,
    every_attention,
    every_position,
    logits,
    new_cache,
    tokens,
)


class TestPadding:
    @every_attention
    @every_position
    @pytest.mark.parametrize("side", ["left", "right"])
    def test_padded_as_unpadded(self, metric: str, position: str, side: str) -> None:
        model, ids = build(metric, position=position), tokens(1, 7)
        padding = torch.full((1, 4), 3)
        mask = torch.ones(1, 11, dtype=torch.long)
        if side == "left":
            padded, real = torch.cat((padding, ids), 1), slice(4, None)
            mask[:, :4] = 0
        else:
            padded, real = torch.cat((ids, padding), 1), slice(None, 7)
            mask[:, 7:] = 0
        both = torch.cat((padded, tokens(1, 11, seed=1)))
        mask = torch.cat((mask, torch.ones_like(mask)))
        out = logits(model, both, attention_mask=mask)
        torch.testing.assert_close(out[:1, real], logits(model, ids), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(out[1:], logits(model, both[1:]), atol=1e-4, rtol=1e-4)
        assert out.isfinite().all()

    @every_position
    @pytest.mark.parametrize("cache", [DynamicCache, StaticCache])
    @torch.no_grad()
    def test_padded_left_behind_a_cache(self, position: str, cache: type) -> None:
        model, ids = build("l1", position=position), tokens(1, 7)
        padded = torch.cat((torch.full((1, 4), 3), ids), 1)
        mask = torch.tensor([[0] * 4 + [1] * 7])
        past = new_cache(cache, model)
        pieces = [
            model(padded[:, a:b], attention_mask=mask[:, :b], past_key_values=past).logits
            for a, b in ((0, 6), (6, 7), (7, 11))
        ]
        out = torch.cat(pieces, 1)[:, 4:]
        torch.testing.assert_close(out, logits(model, ids), atol=1e-4, rtol=1e-4)

    def test_padding_has_no_gradient(self) -> None:
        model = build("sq_l2")
        ids, mask = tokens(1, 6), torch.tensor([[0, 0, 1, 1, 1, 1]])
        embeds = model.get_input_embeddings()(ids).detach().requires_grad_()
        out = model(inputs_embeds=embeds, attention_mask=mask).logits
        out[:, 2:].sum().backward()
        assert embeds.grad is not None
        assert not embeds.grad[:, :2].any()
        assert embeds.grad[:, 2:].any(-1).all()

    @every_position
    def test_rows_packed_by_their_positions(self, position: str) -> None:
        model, ids = build("l2", position=position), tokens(1, 9)
        places = torch.tensor([[0, 1, 2, 3, 0, 1, 2, 3, 4]])
        packed = logits(model, ids, position_ids=places)
        apart = torch.cat((logits(model, ids[:, :4]), logits(model, ids[:, 4:])), 1)
        torch.testing.assert_close(packed, apart, atol=1e-4, rtol=1e-4)
