"""Distance attention inside transformers' own models, against their eager attention and ours."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from infinito.attention import METRICS
from infinito.errors import ConfigError
from tests.models.pretrained.small_models import (
    CONFIGS,
    TIME,
    VOCAB,
    WINDOW,
    Make,
    changed,
    padding,
)


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


def test_attention_dropout_is_the_models_own(make: Make, ids: Tensor) -> None:
    model = changed(make("llama"))
    quiet = model(input_ids=ids).logits
    assert torch.equal(model.train()(input_ids=ids).logits, quiet)
    for layer in model.model.layers:
        layer.self_attn.attention_dropout = 0.5
    assert not torch.equal(model(input_ids=ids).logits, quiet)
    torch.testing.assert_close(model.eval()(input_ids=ids).logits, quiet)


def test_the_name_alone_suffices_in_plain_transformers(make: Make, ids: Tensor) -> None:
    model = make("qwen2")
    model.set_attn_implementation("infinito_l1")
    expected = changed(make("qwen2"))(input_ids=ids).logits
    torch.testing.assert_close(model(input_ids=ids).logits, expected)
