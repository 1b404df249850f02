"""DistanceLM as a language model: causality, inputs, attention weights, λ, start, files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModel, AutoModelForCausalLM, DynamicCache, StaticCache

from infinito.errors import ConfigError
from infinito.models.distance_lm.model import DistanceLMForCausalLM, DistanceLMModel
from tests.models.distance_lm.small_model import (
    VOCAB,
    build,
    every_attention,
    every_position,
    logits,
    new_cache,
    tokens,
)


class TestCausality:
    @every_attention
    @every_position
    def test_the_past_is_bit_equal_whatever_comes(self, metric: str, position: str) -> None:
        model, ids = build(metric, position=position), tokens()
        before = logits(model, ids)
        for changed in range(ids.shape[1]):
            other = ids.clone()
            other[:, changed] = (other[:, changed] + 1) % VOCAB
            after = logits(model, other)
            assert torch.equal(before[:, :changed], after[:, :changed])
            assert not torch.equal(before[:, changed], after[:, changed])

    @every_attention
    @every_position
    @pytest.mark.parametrize("cache", [DynamicCache, StaticCache])
    @torch.no_grad()
    def test_behind_a_cache_too(self, metric: str, position: str, cache: type) -> None:
        model, ids = build(metric, position=position), tokens()
        for changed in range(5, 12):
            other = ids.clone()
            other[:, changed] = (other[:, changed] + 1) % VOCAB
            runs = []
            for each in (ids, other):
                past = new_cache(cache, model)
                model(each[:, :5], past_key_values=past)
                runs.append(model(each[:, 5:], past_key_values=past).logits)
            before, after = runs
            assert torch.equal(before[:, : changed - 5], after[:, : changed - 5])
            assert not torch.equal(before[:, changed - 5], after[:, changed - 5])


class TestInputs:
    def test_exactly_one_of_ids_and_embeddings(self) -> None:
        model, ids = build(), tokens()
        embeds = model.get_input_embeddings()(ids)
        assert torch.equal(logits(model, ids), model(inputs_embeds=embeds).logits)
        with pytest.raises(ValueError, match="exactly one of input_ids and inputs_embeds"):
            model(ids, inputs_embeds=embeds)
        with pytest.raises(ValueError, match="exactly one of input_ids and inputs_embeds"):
            model()

    def test_longer_than_the_learned_positions(self) -> None:
        with pytest.raises(
            ConfigError, match=r"17 tokens is longer than the `model.max_positions`"
        ):
            build(position="learned")(tokens(time=17))

    def test_rotary_positions_go_on(self) -> None:
        model = build(position="rotary")
        longer = build(position="rotary", max_position_embeddings=64)
        ids = tokens(time=40)
        torch.testing.assert_close(logits(model, ids), logits(longer, ids))

    def test_labels_are_shifted_and_may_be_ignored(self) -> None:
        model, ids = build(), tokens()
        labels = ids.clone()
        labels[:, :5] = -100
        predicted = logits(model, ids)[:, 4:-1]
        expected = cross_entropy(predicted.flatten(0, 1), ids[:, 5:].flatten())
        torch.testing.assert_close(model(ids, labels=labels).loss, expected)

    def test_logits_of_some_positions_only(self) -> None:
        model, ids = build(), tokens()
        whole = logits(model, ids)
        torch.testing.assert_close(logits(model, ids, logits_to_keep=3), whole[:, -3:])
        some = torch.tensor([0, 7])
        torch.testing.assert_close(logits(model, ids, logits_to_keep=some), whole[:, some])


class TestAttentionOutputs:
    @every_attention
    def test_weights_on_request(self, metric: str) -> None:
        model, ids = build(metric), tokens()
        out = model(ids, output_attentions=True, output_hidden_states=True)
        assert len(out.attentions) == 2
        assert len(out.hidden_states) == 3
        for weights in out.attentions:
            assert weights.shape == (2, 4, 12, 12)
            assert not weights.triu(1).any()
            torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4, 12))
        torch.testing.assert_close(out.logits, logits(model, ids), atol=1e-4, rtol=1e-4)
        assert model(ids).attentions is None

    def test_eager_is_the_reference(self) -> None:
        model, ids = build("l1"), tokens()
        expected = logits(model, ids)
        model.set_attn_implementation("eager")
        torch.testing.assert_close(logits(model, ids), expected, atol=1e-5, rtol=1e-5)

    def test_a_forced_backend_that_cannot_serve(self) -> None:
        with pytest.raises(ConfigError, match=r"`attention.backend`=sdpa cannot serve l1"):
            build("l1", attention_backend="sdpa")(tokens())


class TestScale:
    @pytest.mark.parametrize(("per", "count"), [("model", 1), ("head", 4)])
    @every_attention
    def test_a_learned_scale_gets_a_gradient(self, metric: str, per: str, count: int) -> None:
        model = build(metric, learned_scale=True, scale_per=per, scale=1.5)
        scales = {name: p for name, p in model.named_parameters() if name.endswith("scale.raw")}
        assert len(scales) == (1 if per == "model" else 2)
        model(tokens(), labels=tokens()).loss.backward()
        for scale in scales.values():
            assert scale.shape == (count,)
            assert scale.grad is not None
            assert scale.grad.all()
        fixed = build(metric, scale=1.5)
        torch.testing.assert_close(
            logits(fixed, tokens()), logits(model, tokens()), atol=1e-4, rtol=1e-4
        )

    def test_a_fixed_scale_is_no_parameter(self) -> None:
        assert not any("scale" in name for name, _ in build(scale=2.0).named_parameters())

    def test_the_scale_acts(self) -> None:
        assert not torch.equal(
            logits(build(scale=1.0), tokens()), logits(build(scale=4.0), tokens())
        )


class TestStart:
    """Standard deviations of 256 features and 3 layers: ½/16 of embeddings, 1/16 of linear layers
    with 256 inputs, 1/32 with 1024, over 6 where they add to the residual stream.
    """

    @pytest.mark.parametrize("tied", [True, False])
    def test_hand_worked(self, tied: bool) -> None:
        model = build(
            hidden_size=256,
            num_hidden_layers=3,
            vocab_size=500,
            position="learned",
            max_position_embeddings=200,
            initializer_range=None,
            tie_word_embeddings=tied,
        )
        block = model.model.layers[1]
        expected = {
            model.get_input_embeddings(): 1 / 32,
            model.get_output_embeddings(): 1 / 32,
            model.model.positions: 1 / 32,
            block.attention.qkv: 1 / 16,
            block.attention.out: 1 / 16 / 6,
            block.feed_forward.up: 1 / 16,
            block.feed_forward.out: 1 / 32 / 6,
        }
        for module, std in expected.items():
            assert module.weight.std().item() == pytest.approx(std, rel=0.02)
            assert abs(module.weight.mean().item()) < 0.02 * std
        assert torch.equal(block.attention_norm.weight, torch.ones(256))


class TestFiles:
    @pytest.mark.parametrize("tied", [True, False])
    @every_position
    def test_saved_and_loaded_is_bit_equal(self, tmp_path: Path, tied: bool, position: str) -> None:
        model = build(
            "lp", tie_word_embeddings=tied, position=position, learned_scale=True, scale_per="head"
        )
        model.save_pretrained(tmp_path)
        assert (tmp_path / "model.safetensors").is_file()
        again = AutoModelForCausalLM.from_pretrained(tmp_path)
        assert isinstance(again, DistanceLMForCausalLM)
        assert torch.equal(logits(model, tokens()), logits(again, tokens()))
        trunk = AutoModel.from_pretrained(tmp_path)
        assert isinstance(trunk, DistanceLMModel)
        assert torch.equal(
            trunk(tokens()).last_hidden_state, model.model(tokens()).last_hidden_state
        )

    @pytest.mark.parametrize("tied", [True, False])
    @pytest.mark.parametrize("vocab", [VOCAB - 4, VOCAB + 6])
    def test_another_vocabulary(self, tied: bool, vocab: int) -> None:
        model = build(tie_word_embeddings=tied)
        ids = tokens() % (VOCAB - 4)
        before = logits(model, ids)
        model.resize_token_embeddings(vocab)
        kept = min(vocab, VOCAB)
        after = logits(model, ids)
        assert model.config.vocab_size == after.shape[-1] == vocab
        assert torch.equal(before[..., :kept], after[..., :kept])
        head, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
        assert (head.weight is embeddings.weight) == tied

    def test_embeddings_can_be_replaced(self) -> None:
        model = build(tie_word_embeddings=False)
        new = torch.nn.Embedding(VOCAB, 32)
        model.set_input_embeddings(new)
        assert model.get_input_embeddings() is model.model.embed_tokens is new
