"""What a recipe chooses: value and bigram embeddings, residual layers that start at zero."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from infinito.errors import ConfigError
from infinito.models.distance_lm.bigram_embeddings import (
    NO_TOKEN,
    BigramEmbeddings,
    previous_tokens,
)
from infinito.models.distance_lm.config import DistanceLMConfig
from infinito.models.distance_lm.model import DistanceLMForCausalLM
from tests.models.distance_lm.small_model import VOCAB, build, tokens


class TestValueEmbeddings:
    @torch.no_grad()
    def test_each_layer_mixes_them_into_its_values(self) -> None:
        model, ids = build(value_embeddings=True), tokens()
        before = model(ids).logits
        for layer in model.model.layers:
            start = layer.attention.value_mix.clone()
            assert start.tolist() == [0.5, 0.5]
            layer.attention.value_mix[1] = 0.0
            assert not torch.equal(model(ids).logits, before)
            layer.attention.value_mix.copy_(start)
        assert torch.equal(model(ids).logits, before)

    @torch.no_grad()
    def test_a_model_that_gives_them_no_weight_is_the_model_without(self) -> None:
        plain, model, ids = build(), build(value_embeddings=True), tokens()
        model.load_state_dict(plain.state_dict(), strict=False)
        for layer in model.model.layers:
            layer.attention.value_mix.copy_(torch.tensor([1.0, 0.0]))
        torch.testing.assert_close(model(ids).logits, plain(ids).logits)

    @torch.no_grad()
    def test_a_cache_gives_the_same(self) -> None:
        model, ids = build(value_embeddings=True), tokens()
        whole = model(ids).logits
        past = model(ids[:, :5], use_cache=True).past_key_values
        rest = [model(ids[:, [n]], past_key_values=past).logits for n in range(5, 12)]
        torch.testing.assert_close(torch.cat(rest, 1), whole[:, 5:])

    def test_every_weight_learns(self) -> None:
        model = build(value_embeddings=True).train()
        model(tokens(), labels=tokens()).loss.backward()
        assert all(each.grad is not None for each in model.parameters())
        assert all(each.grad.any() for name, each in model.named_parameters() if "value" in name)

    def test_a_folder_keeps_them(self, tmp_path: Path) -> None:
        model, ids = build(value_embeddings=True), tokens()
        model.save_pretrained(tmp_path)
        opened = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
        assert torch.equal(opened(ids).logits, model(ids).logits)

    @torch.no_grad()
    def test_new_tokens_get_one(self) -> None:
        model, ids = build(value_embeddings=True), tokens()
        before = model(ids).logits
        model.resize_token_embeddings(VOCAB + 3)
        assert model.model.value_embeddings.num_embeddings == VOCAB + 3
        assert torch.equal(model(ids).logits[..., :VOCAB], before)
        assert model(torch.full_like(ids, VOCAB + 2)).logits.isfinite().all()

    def test_inputs_without_token_ids_are_refused(self) -> None:
        model = build(value_embeddings=True)
        with pytest.raises(ValueError, match="expected input_ids, not inputs_embeds"):
            model(inputs_embeds=torch.zeros(1, 3, 32))


class TestBigramEmbeddings:
    @staticmethod
    def build(**settings: Any) -> DistanceLMForCausalLM:
        model = build(bigram_embeddings=17, **settings)
        with torch.no_grad():
            model.model.bigram_embeddings.weight.normal_()
        return model

    def test_a_pair_has_a_row_of_its_own_and_the_first_token_row_0(self) -> None:
        table = BigramEmbeddings(1 << 16, 4)
        every = torch.arange(VOCAB)
        first, second = every.repeat_interleave(VOCAB), every.repeat(VOCAB)
        rows = table.row(second, first)
        assert len(rows.unique()) == VOCAB**2
        assert rows.min() > 0
        assert rows.max() < 1 << 16
        assert table.row(second, torch.full_like(first, NO_TOKEN)).eq(0).all()

    @torch.no_grad()
    def test_they_start_at_zero_and_are_added_to_those_of_the_tokens(self) -> None:
        model, ids = build(bigram_embeddings=17), tokens()
        plain = build()
        plain.load_state_dict(model.state_dict(), strict=False)
        assert torch.equal(model(ids).logits, plain(ids).logits)
        model = self.build()
        states = model(ids, output_hidden_states=True).hidden_states[0]
        table, previous = model.model.bigram_embeddings, previous_tokens(ids)
        assert torch.equal(states, model.model.embed_tokens(ids) + table.embed(ids, previous))
        assert previous[:, 0].eq(NO_TOKEN).all()
        assert torch.equal(previous[:, 1:], ids[:, :-1])

    @torch.no_grad()
    def test_only_what_follows_a_token_depends_on_it(self) -> None:
        model, ids = self.build(), tokens()
        before = model(ids).logits
        for changed in range(ids.shape[1]):
            other = ids.clone()
            other[:, changed] = (other[:, changed] + 1) % VOCAB
            after = model(other).logits
            assert torch.equal(before[:, :changed], after[:, :changed])
            assert not torch.equal(before[:, changed:], after[:, changed:])

    @torch.no_grad()
    def test_padding_and_the_text_before_in_a_row_are_no_tokens_before(self) -> None:
        model, ids = self.build(), tokens()
        padded = torch.cat((torch.full((2, 3), 7), ids), 1)
        mask = torch.ones_like(padded)
        mask[:, :3] = 0
        torch.testing.assert_close(
            model(padded, attention_mask=mask).logits[:, 3:], model(ids).logits
        )
        row = torch.cat((tokens(time=4), ids), 1)
        places = torch.cat((torch.arange(4), torch.arange(12)))[None].expand(2, -1)
        torch.testing.assert_close(
            model(row, position_ids=places, use_cache=False).logits[:, 4:], model(ids).logits
        )

    @pytest.mark.parametrize("options", [{}, {"num_beams": 3}, {"cache_implementation": "static"}])
    @torch.no_grad()
    def test_generation_behind_a_cache_is_that_without(self, options: dict[str, Any]) -> None:
        model: Any = self.build()
        ids = tokens()
        mask = torch.ones_like(ids)
        mask[0, :4] = 0
        options = {
            "attention_mask": mask,
            "max_new_tokens": 9,
            "do_sample": False,
            "pad_token_id": 0,
            **options,
        }
        cached = model.generate(ids, **options)
        options.pop("cache_implementation", None)
        assert torch.equal(cached, model.generate(ids, use_cache=False, **options))

    @torch.no_grad()
    def test_a_cache_that_holds_tokens_needs_the_one_before(self) -> None:
        model, ids = self.build(), tokens()
        whole = model(ids).logits
        past = model(ids[:, :5], use_cache=True).past_key_values
        with pytest.raises(ValueError, match="expected previous_ids"):
            model(ids[:, 5:], past_key_values=past)
        rest = model(ids[:, 5:], past_key_values=past, previous_ids=ids[:, 4:-1]).logits
        torch.testing.assert_close(rest, whole[:, 5:])

    def test_inputs_without_token_ids_are_refused(self) -> None:
        with pytest.raises(ValueError, match="expected input_ids, not inputs_embeds"):
            self.build()(inputs_embeds=torch.zeros(1, 3, 32))

    @pytest.mark.parametrize("rows", [1, -3])
    def test_a_table_has_at_least_two_rows(self, rows: int) -> None:
        with pytest.raises(ConfigError, match=f"`model.bigram_embeddings`={rows}: expected 0"):
            DistanceLMConfig(bigram_embeddings=rows)

    def test_a_folder_keeps_them(self, tmp_path: Path) -> None:
        model, ids = self.build(), tokens()
        model.save_pretrained(tmp_path)
        opened = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
        assert torch.equal(opened(ids).logits, model(ids).logits)


class TestZeroInitResidual:
    @torch.no_grad()
    def test_each_block_starts_as_the_identity(self) -> None:
        model = build(zero_init_residual=True)
        states = model(tokens(), output_hidden_states=True).hidden_states
        assert all(torch.equal(state, states[0]) for state in states[1:-1])
        plain = build()(tokens(), output_hidden_states=True).hidden_states
        assert not torch.equal(plain[1], plain[0])

    def test_the_other_weights_are_those_of_a_model_without(self) -> None:
        plain, model = build().state_dict(), build(zero_init_residual=True).state_dict()
        assert not any(weight.any() for name, weight in model.items() if ".out." in name)
        assert all(
            torch.equal(weight, plain[name])
            for name, weight in model.items()
            if ".out." not in name
        )
