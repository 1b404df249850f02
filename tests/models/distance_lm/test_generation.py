"""DistanceLM under transformers' generate."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from infinito.models.distance_lm.model import DistanceLMForCausalLM
from tests.models.distance_lm.small_model import build as build_any
from tests.models.distance_lm.small_model import logits, tokens

every_position = pytest.mark.parametrize("position", ["rotary", "learned"])


def build(metric: str, position: str = "rotary") -> DistanceLMForCausalLM:
    """Return a model that does not just repeat its last token, as one with a tied head would."""
    return build_any(metric, position=position, tie_word_embeddings=False, initializer_factor=6.0)


def generate(model: Any, ids: Tensor, **how: Any) -> Tensor:
    settings = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": 0, **how}
    return model.generate(ids, **settings)


@every_position
@pytest.mark.parametrize("metric", ["dot", "l1", "sq_l2", "cosine"])
def test_greedy_with_and_without_cache(metric: str, position: str) -> None:
    model, ids = build(metric, position=position), tokens(2, 5)
    expected = ids
    for _ in range(8):
        expected = torch.cat((expected, logits(model, expected)[:, -1:].argmax(-1)), 1)
    ones = torch.ones_like(ids)
    assert len(expected[:, 5:].unique()) > 2
    assert torch.equal(generate(model, ids, attention_mask=ones), expected)
    assert torch.equal(generate(model, ids, attention_mask=ones, use_cache=False), expected)
    static = generate(model, ids, attention_mask=ones, cache_implementation="static")
    assert torch.equal(static, expected)


@every_position
@pytest.mark.parametrize("metric", ["dot", "l1"])
def test_prompts_of_two_lengths_padded_left(metric: str, position: str) -> None:
    model, short, long = build(metric, position=position), tokens(1, 3), tokens(1, 6, seed=1)
    ids = torch.cat((torch.cat((torch.zeros(1, 3, dtype=torch.long), short), 1), long))
    mask = torch.ones_like(ids)
    mask[0, :3] = 0
    together = generate(model, ids, attention_mask=mask)
    alone = generate(model, short, attention_mask=torch.ones_like(short))
    assert torch.equal(together[0, 3:], alone[0])
    assert torch.equal(together[1:], generate(model, long, attention_mask=torch.ones_like(long)))


def log_probability(model: DistanceLMForCausalLM, ids: Tensor, prompt: int) -> Tensor:
    steps = logits(model, ids)[:, prompt - 1 : -1].log_softmax(-1)
    return steps.gather(-1, ids[:, prompt:, None]).sum((1, 2))


@pytest.mark.parametrize("metric", ["dot", "l1"])
def test_beams_are_at_least_as_likely_as_greedy(metric: str) -> None:
    model, ids = build(metric), tokens(2, 4)
    ones = torch.ones_like(ids)
    greedy = generate(model, ids, attention_mask=ones)
    beams = generate(model, ids, attention_mask=ones, num_beams=4, num_return_sequences=2)
    scores = log_probability(model, beams, 4).view(2, 2)
    assert (scores[:, 0] >= scores[:, 1]).all()
    assert (scores[:, 0] >= log_probability(model, greedy, 4) - 1e-4).all()
    uncached = generate(
        model, ids, attention_mask=ones, num_beams=4, num_return_sequences=2, use_cache=False
    )
    assert torch.equal(beams, uncached)


def test_sampling_repeats_with_its_seed() -> None:
    model, ids = build("l1"), tokens(2, 4)
    ones = torch.ones_like(ids)

    def sample(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return generate(model, ids, attention_mask=ones, do_sample=True, temperature=5.0)

    assert torch.equal(sample(0), sample(0))
    assert not torch.equal(sample(0), sample(1))


def test_from_embeddings() -> None:
    model: Any = build("l1")
    ids = tokens(2, 4)
    ones = torch.ones_like(ids)
    embeds = model.get_input_embeddings()(ids)
    new = model.generate(
        inputs_embeds=embeds, attention_mask=ones, max_new_tokens=5, do_sample=False, pad_token_id=0
    )
    assert torch.equal(new, generate(model, ids, attention_mask=ones, max_new_tokens=5)[:, 4:])


@torch.no_grad()
def test_a_cache_of_cosine_keeps_unit_keys() -> None:
    """A key is scaled to length 1 once, not anew for every token that follows."""
    model, ids = build("cosine"), tokens(2, 5)
    cache = model(ids[:, :4]).past_key_values
    cache = model(ids[:, 4:], past_key_values=cache).past_key_values
    for layer in cache.layers:
        lengths = torch.linalg.vector_norm(layer.keys, dim=-1)
        assert lengths.shape[-1] == 5
        torch.testing.assert_close(lengths, torch.ones_like(lengths))
