"""Distance attention inside transformers' own models, against their eager attention and ours."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPT2Config,
    GPTJConfig,
    GptOssConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
)

from infinito.attention import METRICS, Backend, Request, choose_backend, functional
from infinito.errors import ConfigError
from infinito.models.distance_lm.config import DistanceLMConfig
from infinito.models.distance_lm.model import DistanceLMForCausalLM
from infinito.models.pretrained.replaced_attention import (
    AttentionSettings,
    find_calling_layers,
    list_requests,
    use_backend,
    use_distance_attention,
)

VOCAB, TIME, WINDOW = 50, 11, 4
SIZES: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": None,
}
GPT2: dict[str, Any] = {
    "vocab_size": VOCAB,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 64,
}
CONFIGS = {
    "gpt2": GPT2Config(**GPT2, bos_token_id=1, eos_token_id=None, initializer_range=0.3),
    "llama": LlamaConfig(**SIZES, initializer_range=0.3),
    "qwen2": Qwen2Config(**SIZES, initializer_range=0.3),
    "mistral": MistralConfig(**SIZES, sliding_window=WINDOW, initializer_range=0.3),
}
Make = Callable[[str], PreTrainedModel]


@pytest.fixture(scope="module")
def make() -> Make:
    """Makes copies of a small model, always the same one for a name."""
    made: dict[str, PreTrainedModel] = {}

    def model(name: str) -> PreTrainedModel:
        if name not in made:
            torch.manual_seed(0)
            config = copy.deepcopy(CONFIGS[name])
            made[name] = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
            assert made[name].config._attn_implementation == "eager"
        return copy.deepcopy(made[name]).eval()

    return model


@pytest.fixture(scope="module")
def ids() -> Tensor:
    """Token ids (2, TIME)."""
    return torch.randint(VOCAB, (2, TIME), generator=torch.Generator().manual_seed(1))


def changed(model: PreTrainedModel, metric: str = "l1", **settings: object) -> PreTrainedModel:
    """The same model with another attention."""
    p = {"p": 3.0} if metric == "lp" else {}
    use_distance_attention(model, AttentionSettings(metric, **p, **settings))  # type: ignore[arg-type]
    return model


def padding(side: str) -> Tensor:
    """A mask (2, TIME) whose second row has three tokens of padding."""
    mask = torch.ones(2, TIME, dtype=torch.long)
    mask[1, slice(0, 3) if side == "left" else slice(-3, None)] = 0
    return mask


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("mask", [None, padding("left"), padding("right")])
def test_dot_equals_the_models_own_attention(
    make: Make, ids: Tensor, name: str, mask: Tensor | None
) -> None:
    real = torch.ones(2, TIME) if mask is None else mask
    results = []
    for model in (make(name), changed(make(name), "dot")):
        logits = model(input_ids=ids, attention_mask=mask).logits
        loss = (logits.logsumexp(-1) * real).sum() + (logits[..., 3] * real).sum()
        loss.backward()
        grads = {key: each.grad for key, each in model.named_parameters()}
        results.append((logits[real.bool()], grads))
    (own, own_grads), (ours, our_grads) = results
    torch.testing.assert_close(ours, own, atol=1e-5, rtol=1e-5)
    for key, grad in own_grads.items():
        torch.testing.assert_close(our_grads[key], grad, atol=1e-4, rtol=1e-5, msg=key)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("metric", [each for each in METRICS if each != "dot"])
def test_every_metric_equals_its_reference(make: Make, ids: Tensor, name: str, metric: str) -> None:
    model = changed(make(name), metric)
    own = make(name)(input_ids=ids).logits
    for mask in (None, padding("left"), padding("right")):
        real = torch.ones(2, TIME, dtype=torch.bool) if mask is None else mask.bool()
        logits = model(input_ids=ids, attention_mask=mask).logits[real]
        slow = model(input_ids=ids, attention_mask=mask, output_attentions=True)
        torch.testing.assert_close(logits, slow.logits[real], atol=2e-5, rtol=1e-4)
        assert len(slow.attentions) == 2
        assert (logits - own[real]).abs().max() > 1e-2  # the attention did change


@pytest.mark.parametrize("name", CONFIGS)
def test_weights_are_those_of_the_definition(make: Make, ids: Tensor, name: str) -> None:
    """A window of 4 hides what lies 4 or more back; rows sum to 1; nothing is seen ahead."""
    weights = changed(make(name))(input_ids=ids, output_attentions=True).attentions[0]
    window = WINDOW if name == "mistral" else TIME
    seen = torch.ones(TIME, TIME).tril().triu(1 - window)
    assert ((weights > 0) == seen.bool()).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4, TIME))


@pytest.mark.parametrize("name", CONFIGS)
def test_a_cache_changes_nothing(make: Make, ids: Tensor, name: str) -> None:
    """Whole, in pieces of 5, 3, 1, 1 and 1 tokens, and with left padding."""
    model = changed(make(name))
    for mask in (None, padding("left")):
        positions = None if mask is None else (mask.cumsum(-1) - 1).clamp(min=0)
        whole = model(input_ids=ids, attention_mask=mask, position_ids=positions).logits
        cache, pieces, start = None, [], 0
        for length in (5, 3, 1, 1, 1):
            part = slice(start, start + length)
            out = model(
                input_ids=ids[:, part],
                attention_mask=None if mask is None else mask[:, : part.stop],
                position_ids=None if positions is None else positions[:, part],
                past_key_values=cache,
                use_cache=True,
            )
            cache, start = out.past_key_values, part.stop
            pieces.append(out.logits)
        real = torch.ones_like(ids).bool() if mask is None else mask.bool()
        torch.testing.assert_close(torch.cat(pieces, 1)[real], whole[real], atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("metric", ["l1", "cosine", "linf"])
def test_a_token_leaves_earlier_logits_bit_equal(
    make: Make, ids: Tensor, name: str, metric: str
) -> None:
    model = changed(make(name), metric)
    other = ids.clone()
    other[:, 6] = (other[:, 6] + 1) % VOCAB
    before, after = model(input_ids=ids).logits, model(input_ids=other).logits
    assert torch.equal(before[:, :6], after[:, :6])
    assert not torch.equal(before[:, 6:], after[:, 6:])


@pytest.mark.parametrize("name", CONFIGS)
def test_generation_is_the_same_with_any_cache(make: Make, ids: Tensor, name: str) -> None:
    model: Any = changed(make(name))
    ask = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": 0}
    mask = padding("left")
    plain = model.generate(input_ids=ids, attention_mask=mask, use_cache=False, **ask)
    for cache in ("dynamic", "static"):
        cached = model.generate(
            input_ids=ids, attention_mask=mask, cache_implementation=cache, **ask
        )
        assert torch.equal(cached, plain), cache


@pytest.mark.parametrize(("name", "masked"), [("llama", [False]), ("mistral", [True])])
def test_what_a_step_asks_for_is_known_beforehand(
    make: Make, ids: Tensor, monkeypatch: pytest.MonkeyPatch, name: str, masked: list[bool]
) -> None:
    """Layers with a window shorter than the text come with a mask, which not all backends take."""
    model, asked = changed(make(name)), []

    def choose(request: Request, backend: str) -> Backend:
        asked.append(request)
        return choose_backend(request, backend)

    monkeypatch.setattr(functional, "choose_backend", choose)
    model(input_ids=ids, use_cache=False)
    known = list_requests(model, 2, TIME, "cpu", torch.float32)
    assert [each.free_mask for each in known] == masked
    assert [each._replace(factor=1.0) for each in asked] == 2 * known


def test_layers_with_a_window_and_others_ask_apart() -> None:
    sliding: dict[str, Any] = {
        "sliding_window": WINDOW,
        "use_sliding_window": True,
        "max_window_layers": 1,
    }
    model = changed(AutoModelForCausalLM.from_config(Qwen2Config(**SIZES, **sliding)))
    for time, masked in ((WINDOW - 1, [False]), (WINDOW, [False, True])):
        known = list_requests(model, 2, time, "cpu", torch.float32)
        assert [each.free_mask for each in known] == masked


def test_packed_rows_are_kept_apart(make: Make, ids: Tensor) -> None:
    model = changed(make("llama"))
    positions = torch.cat([torch.arange(6), torch.arange(TIME - 6)])[None].expand(2, -1)
    packed = model(input_ids=ids, position_ids=positions, use_cache=False).logits
    torch.testing.assert_close(packed[:, 6:], model(input_ids=ids[:, 6:]).logits)


def test_a_mask_of_four_axes_is_obeyed_and_a_bias_refused(make: Make, ids: Tensor) -> None:
    model = changed(make("gpt2"))
    mask = torch.ones(TIME, TIME, dtype=torch.bool).tril().expand(2, 1, -1, -1)
    whole = model(input_ids=ids).logits
    torch.testing.assert_close(model(input_ids=ids, attention_mask=mask).logits, whole)
    added = torch.zeros(mask.shape).masked_fill(~mask, torch.finfo(torch.float32).min)
    torch.testing.assert_close(model(input_ids=ids, attention_mask=added).logits, whole)
    with pytest.raises(ConfigError, match=r"adds a bias.*attention=own"):
        model(input_ids=ids, attention_mask=added + 0.5)


def test_one_row_of_a_mask_is_for_all_queries(make: Make, ids: Tensor) -> None:
    """Such a mask replaces causality, as it does in a model's own attention."""
    mask = padding("left").bool()[:, None, None]
    added = torch.zeros(mask.shape).masked_fill(~mask, torch.finfo(torch.float32).min)
    own = make("llama")(input_ids=ids, attention_mask=added).logits
    for each in (mask, added):
        ours = changed(make("llama"), "dot")(input_ids=ids, attention_mask=each).logits
        torch.testing.assert_close(ours, own, atol=1e-5, rtol=1e-5)


def test_another_backend_can_be_asked_for(make: Make, ids: Tensor) -> None:
    model = changed(make("llama"))
    use_backend(model, "sdpa")
    with pytest.raises(ConfigError, match="sdpa cannot serve l1"):
        model(input_ids=ids)


def test_attention_dropout_is_the_models_own(make: Make, ids: Tensor) -> None:
    model = changed(make("llama"))
    quiet = model(input_ids=ids).logits
    assert torch.equal(model.train()(input_ids=ids).logits, quiet)
    for layer in model.model.layers:
        layer.self_attn.attention_dropout = 0.5
    assert not torch.equal(model(input_ids=ids).logits, quiet)
    torch.testing.assert_close(model.eval()(input_ids=ids).logits, quiet)


@pytest.mark.parametrize(("per", "count"), [("model", 1), ("head", 8)])
def test_learned_scales_get_their_gradient(make: Make, ids: Tensor, per: str, count: int) -> None:
    fixed = changed(make("llama"), scale=0.7)
    model = changed(make("llama"), scale=0.7, scale_per=per, learned_scale=True)
    logits = model(input_ids=ids).logits
    torch.testing.assert_close(logits, fixed(input_ids=ids).logits, atol=2e-5, rtol=1e-4)
    logits.logsumexp(-1).sum().backward()
    scales = [each for key, each in model.named_parameters() if "distance_scale" in key]
    assert sum(each.numel() for each in scales) == count
    assert all(each.grad is not None and each.grad.all() for each in scales)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for key, each in twin.named_parameters():
            if "distance_scale" in key:
                each.add_(1.0)
    assert not torch.allclose(twin(input_ids=ids).logits, logits)  # its copy has its own λ
    torch.testing.assert_close(model(input_ids=ids).logits, logits)


def test_the_name_alone_suffices_in_plain_transformers(make: Make, ids: Tensor) -> None:
    model = make("qwen2")
    model.set_attn_implementation("infinito_l1")
    expected = changed(make("qwen2"))(input_ids=ids).logits
    torch.testing.assert_close(model(input_ids=ids).logits, expected)


MOE: dict[str, Any] = {"num_local_experts": 2, "num_experts_per_tok": 1, "head_dim": 8}
UNFIT: dict[str, tuple[PreTrainedConfig, str]] = {
    "soft-capping": (Gemma2Config(**SIZES, head_dim=8), "caps the logits"),
    "sinks": (GptOssConfig(**SIZES, **MOE), "has sinks"),
    "no interface": (GPTJConfig(**GPT2, rotary_dim=4), "does not call"),
    "its own": (DistanceLMConfig(vocab_size=VOCAB, hidden_size=32), "0 of its 4 layers call"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_what_would_be_dropped_is_refused_by_name(name: str) -> None:
    config, reason = UNFIT[name]
    if isinstance(config, DistanceLMConfig):
        model: PreTrainedModel = DistanceLMForCausalLM(config)
    else:
        model = AutoModelForCausalLM.from_config(config)
    with pytest.raises(ConfigError, match=rf"cannot be changed in .*{reason}.*attention=own"):
        changed(model)


def test_an_unknown_metric_is_refused(make: Make) -> None:
    with pytest.raises(ConfigError, match="is not one of dot"):
        changed(make("gpt2"), "l3")


def test_a_trial_leaves_the_model_as_it_was(make: Make) -> None:
    model = make("gpt2").train()
    before = torch.random.get_rng_state()
    assert len(find_calling_layers(changed(model))) == 2
    assert model.training
    assert torch.equal(torch.random.get_rng_state(), before)
