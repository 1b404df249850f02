"""DistanceLM as a language model: causality, caches, padding, gradients, files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import AutoModel, AutoModelForCausalLM, DynamicCache, StaticCache
from transformers.cache_utils import DynamicLayer

from infinito.attention import METRICS
from infinito.errors import ConfigError
from infinito.models.distance_lm.config import DistanceLMConfig
from infinito.models.distance_lm.model import DistanceLMForCausalLM, DistanceLMModel

VOCAB = 29
POSITIONS = ("rotary", "learned")

every_attention = pytest.mark.parametrize("metric", METRICS)
every_position = pytest.mark.parametrize("position", POSITIONS)


def build(metric: str = "l1", **settings: Any) -> DistanceLMForCausalLM:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "vocab_size": VOCAB,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 16,
        "initializer_range": 0.5,
        "p": 3.0 if metric == "lp" else None,
    }
    return DistanceLMForCausalLM(DistanceLMConfig(metric=metric, **{**sizes, **settings})).eval()


def tokens(batch: int = 2, time: int = 12, seed: int = 0) -> Tensor:
    return torch.randint(VOCAB, (batch, time), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def logits(model: DistanceLMForCausalLM, ids: Tensor, **inputs: object) -> Tensor:
    return model(ids, use_cache=False, **inputs).logits


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


def new_cache(cache: type, model: DistanceLMForCausalLM) -> DynamicCache | StaticCache:
    longest = {"max_cache_len": 16} if cache is StaticCache else {}
    return cache(config=model.config, **longest)


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


class TestTraining:
    @pytest.mark.parametrize("reentrant", [True, False])
    @pytest.mark.parametrize("per", ["model", "head"])
    def test_gradient_checkpointing_changes_no_bit(self, reentrant: bool, per: str) -> None:
        gradients = []
        for checkpointing in (False, True):
            model = build("l1", learned_scale=True, scale_per=per).train()
            if checkpointing:
                model.activation_checkpointing_enable({"use_reentrant": reentrant})
            model(tokens(), labels=tokens(), use_cache=False).loss.backward()
            gradients.append([p.grad for p in model.parameters()])
        assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))

    def test_every_parameter_gets_a_gradient(self) -> None:
        for position in POSITIONS:
            model = build("cosine", position=position, learned_scale=True)
            model(tokens(8, 16), labels=tokens(8, 16)).loss.backward()
            assert all(p.grad is not None and p.grad.any() for p in model.parameters())

    def test_dropout_acts_in_training_only(self) -> None:
        for how in ("dropout", "attention_dropout"):
            model = build("l1", **{how: 0.5})
            assert torch.equal(logits(model, tokens()), logits(model, tokens()))
            model.train()
            assert not torch.equal(logits(model, tokens()), logits(model, tokens()))

    def test_the_seed_decides_the_weights(self) -> None:
        first, second = build(), build()
        torch.manual_seed(1)
        other = DistanceLMForCausalLM(first.config)
        for a, b, c in zip(
            first.parameters(), second.parameters(), other.parameters(), strict=True
        ):
            assert torch.equal(a, b)
            assert a.ndim == 1 or not torch.equal(a, c)

    @pytest.mark.parametrize("metric", ["dot", "l1", "sq_l2", "cosine"])
    def test_half_precision_is_near(self, metric: str) -> None:
        model, ids = build(metric), tokens()
        expected = logits(model, ids)
        with torch.autocast("cpu", torch.bfloat16):
            mixed = logits(model, ids)
        half = logits(model.bfloat16(), ids)
        for out in (mixed, half):
            assert out.dtype == torch.bfloat16
            assert (out.float() - expected).abs().mean() < 0.05 * expected.abs().mean()

    @pytest.mark.parametrize("metric", ["dot", "l1", "linf"])
    def test_a_tiny_problem_is_learned(self, metric: str) -> None:
        """Copying: which token comes is known from the one four places back."""
        model = build(metric, initializer_range=None).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        ids = tokens(4, 4).repeat(1, 4)
        for _ in range(40):
            loss = model(ids, labels=ids, use_cache=False).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        predicted = logits(model.eval(), ids)[:, 4:-1].argmax(-1)
        assert torch.equal(predicted, ids[:, 5:])

    @pytest.mark.parametrize("metric", ["dot", "l1"])
    def test_nothing_is_learned_from_uniform_tokens(self, metric: str) -> None:
        """The null case: on i.i.d. uniform tokens no perplexity is below the vocabulary's size."""
        model = build(metric, initializer_range=None).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        for step in range(60):
            ids = tokens(16, 16, seed=step)
            model(ids, labels=ids, use_cache=False).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        ids = tokens(200, 16, seed=10**6)
        loss = model.eval()(ids, labels=ids, use_cache=False).loss.item()
        assert 0.98 * VOCAB <= math.exp(loss) < 1.1 * VOCAB


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


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
@pytest.mark.parametrize("metric", ["dot", "l1"])
@every_position
def test_compiles_in_one_graph(metric: str, position: str) -> None:
    model, ids = build(metric, position=position), tokens()
    compiled = torch.compile(model, fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(
            compiled(ids, use_cache=False).logits, logits(model, ids), atol=1e-4, rtol=1e-4
        )


@pytest.mark.parametrize("metric", ["dot", "l1", "cosine"])
def test_a_training_step_compiles_in_one_graph(metric: str) -> None:
    """No graph breaks with a gradient either, and the gradient is the eager one."""
    model, ids = build(metric, learned_scale=True, scale_per="head").train(), tokens()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    wanted = gradients(model, model(ids, labels=ids, use_cache=False).loss)
    found = gradients(model, compiled(ids, labels=ids, use_cache=False).loss)
    for mine, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-4)


def gradients(model: DistanceLMForCausalLM, loss: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss, list(model.parameters()))


def test_a_training_stays_compiled() -> None:
    """Past its limit of compilations torch would silently go on without compiled code."""
    torch.compiler.reset()
    model = build("l1", num_hidden_layers=1)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True):
        for batch, training in [(4, True), (8, False), (3, False), (1, False), (4, True)]:
            model.train(training)
            compiled(tokens(batch), use_cache=False)
    torch.compiler.reset()
