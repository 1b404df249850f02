"""A memory inside causal LMs of three architectures: causality, caches, saving, evaluation."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from infinito.config.memory import MemoryConf
from infinito.errors import ConfigError
from infinito.models.memory.model import MemoryLMConfig, MemoryLMForCausalLM, with_memory
from tests.models.tiny_models import CONFIGS, VOCAB, tokens


@pytest.fixture(params=CONFIGS)
def model(request: pytest.FixtureRequest) -> MemoryLMForCausalLM:
    """A model whose memory speaks up and holds what a few batches left."""
    torch.manual_seed(0)
    inner = AutoModelForCausalLM.from_config(copy.deepcopy(CONFIGS[request.param]))
    built = with_memory(inner, MemoryConf(segment=8, slots=12, evaluation="frozen"))
    with torch.no_grad():
        built.memory.gate_bias.fill_(2.0)
        for seed in range(3):
            built.train()(input_ids=tokens(seed=seed), use_cache=False)
    return built.eval()


@torch.no_grad()
def logits(model: PreTrainedModel, ids: Tensor) -> Tensor:
    return model(input_ids=ids, use_cache=False).logits


def test_the_future_changes_nothing(model: MemoryLMForCausalLM) -> None:
    ids = tokens()
    changed = ids.clone()
    changed[:, 20:] = 1
    before, after = logits(model, ids), logits(model, changed)
    assert torch.equal(before[:, :20], after[:, :20])
    assert not torch.equal(before[:, 20:], after[:, 20:])
    model.train()
    state = copy.deepcopy(model.state_dict())
    before = logits(model, ids)
    model.load_state_dict(state)
    assert torch.equal(before[:, :20], logits(model, changed)[:, :20])


def test_an_earlier_segment_is_read(model: MemoryLMForCausalLM) -> None:
    closed = copy.deepcopy(model)
    with torch.no_grad():
        closed.memory.gate_bias.fill_(-100.0)
    assert torch.allclose(logits(closed, tokens()), logits(model.causal_lm, tokens()), atol=1e-6)
    assert not torch.allclose(logits(model, tokens()), logits(closed, tokens()), atol=1e-3)


def test_rows_do_not_see_each_other(model: MemoryLMForCausalLM) -> None:
    ids = tokens()
    whole = logits(model, ids)
    assert torch.equal(logits(model, ids.flip(0)).flip(0), whole)
    assert torch.allclose(logits(model, ids[1:2]), whole[1:2], atol=1e-5)


@pytest.mark.parametrize("priority", ["phi", "age", "random"])
@torch.no_grad()
def test_a_cache_gives_the_same(model: MemoryLMForCausalLM, priority: str) -> None:
    model.memory.settings = replace(model.memory.settings, priority=priority)
    ids = tokens()
    outputs = model(input_ids=ids[:, :11], use_cache=True)
    found = [outputs.logits]
    for start, stop in [(11, 12), (12, 13), (13, 20), (20, 29), (29, 36)]:
        outputs = model(
            input_ids=ids[:, start:stop], past_key_values=outputs.past_key_values, use_cache=True
        )
        found.append(outputs.logits)
    assert torch.allclose(torch.cat(found, dim=1), logits(model, ids), atol=1e-5)


@torch.no_grad()
def test_padding_on_the_left_is_not_seen(model: MemoryLMForCausalLM) -> None:
    ids = tokens()
    mask = torch.nn.functional.pad(torch.ones_like(ids), (5, 0))
    padded = torch.nn.functional.pad(ids, (5, 0))
    positions = (mask.cumsum(1) - 1).clamp_min(0)
    found = model(
        input_ids=padded, attention_mask=mask, position_ids=positions, use_cache=False
    ).logits
    assert torch.allclose(found[:, 5:], logits(model, ids), atol=1e-5)


@pytest.mark.parametrize("beams", [1, 3])
def test_generation_with_and_without_a_cache(model: Any, beams: int) -> None:
    options = {
        "attention_mask": torch.ones(3, 10, dtype=torch.long), "max_new_tokens": 25,
        "do_sample": False, "num_beams": beams, "pad_token_id": 0, "eos_token_id": None,
    }  # fmt: skip
    first = model.generate(tokens(time=10), **options)
    assert torch.equal(first, model.generate(tokens(time=10), use_cache=False, **options))


def test_a_cache_of_fixed_length_is_refused(model: Any) -> None:
    with pytest.raises(ConfigError, match="a memory needs a cache that grows"):
        model.generate(tokens(time=10), cache_implementation="static", max_new_tokens=3)


def test_it_saves_with_the_model(model: MemoryLMForCausalLM, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    opened = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert isinstance(opened, MemoryLMForCausalLM)
    assert opened.memory.settings == model.memory.settings
    for (name, value), other in zip(
        model.state_dict().items(), opened.state_dict().values(), strict=True
    ):
        assert torch.equal(value, other), name
    assert torch.equal(logits(opened.eval(), tokens()), logits(model, tokens()))


def test_a_config_rebuilds_it(model: MemoryLMForCausalLM) -> None:
    values = model.config.to_dict()
    assert values.pop("model_type") == "memory_lm"
    rebuilt = AutoModelForCausalLM.from_config(AutoConfig.for_model("memory_lm", **values))
    rebuilt.load_state_dict(model.state_dict())
    assert torch.equal(logits(rebuilt.eval(), tokens()), logits(model, tokens()))
    assert rebuilt.config.vocab_size == VOCAB


def test_a_copy_stands_alone(model: MemoryLMForCausalLM) -> None:
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    assert logits(model, tokens()).any()
    assert not logits(other, tokens()).any()


def test_training_repeats_itself(model: MemoryLMForCausalLM) -> None:
    other = copy.deepcopy(model)
    for seed in (3, 4):
        for each in (model, other):
            each.train().zero_grad()
            each(
                input_ids=tokens(seed=seed), labels=tokens(seed=seed), use_cache=False
            ).loss.backward()
            torch.optim.SGD(each.parameters(), 0.1).step()
    for value, same in zip(model.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(value, same)


def test_every_parameter_learns(model: MemoryLMForCausalLM) -> None:
    model.train()(input_ids=tokens(), labels=tokens(), use_cache=False).loss.backward()
    for name, parameter in model.memory.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_faults_of_a_config_are_reported() -> None:
    with pytest.raises(ConfigError, match=r"`model.memory.slots`=3 is fewer"):
        MemoryLMConfig(causal_lm=CONFIGS["llama"], memory={"slots": 3})


@torch.no_grad()
def test_a_base_in_lower_precision(model: MemoryLMForCausalLM) -> None:
    """The memory stays float32, whatever its base is."""
    expected = logits(model, tokens())
    model.causal_lm.bfloat16()
    assert torch.allclose(logits(model, tokens()).float(), expected, atol=0.1)
