"""Validation leaves the model and torch's generator as they were."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from infinito.attention import attention_statistics
from infinito.config import GenerationConf
from infinito.models.generation import sample_text
from infinito.models.observation.attention_probe import (
    evaluated_eagerly,
    probe_attention,
    probe_statistics,
)
from infinito.models.trained import open_trained


def test_samples_repeat_themselves_and_touch_nothing(finished: Callable[..., Path]) -> None:
    opened = open_trained(str(finished()))
    model, prompt = opened.model.train(), torch.tensor([1, 2])
    settings = GenerationConf(max_new_tokens=8)
    state = torch.get_rng_state()
    first = sample_text(model, opened.tokenizer, prompt, settings, seed=1)
    assert first == sample_text(model, opened.tokenizer, prompt, settings, seed=1)
    assert first != sample_text(model, opened.tokenizer, prompt, settings, seed=2)
    assert model.training
    assert torch.equal(state, torch.get_rng_state())


def test_a_sample_at_temperature_0_is_the_likeliest_text(finished: Callable[..., Path]) -> None:
    opened = open_trained(str(finished()))
    prompt, settings = torch.tensor([1, 2]), GenerationConf(max_new_tokens=4, temperature=0)
    ids = prompt[None]
    for _ in range(4):
        ids = torch.cat((ids, opened.model(ids).logits[:, -1:].argmax(-1)), dim=1)
    sample = sample_text(opened.model, opened.tokenizer, prompt, settings, seed=1)
    assert sample == opened.tokenizer.decode(ids[0, 2:], skip_special_tokens=True)


@pytest.mark.parametrize("position", ["learned", "rotary"])
def test_a_sample_goes_on_beyond_the_models_positions(
    finished: Callable[..., Path], position: str
) -> None:
    opened = open_trained(str(finished(f"model.position={position}", "model.max_positions=16")))
    settings = GenerationConf(max_new_tokens=99)
    sample = sample_text(opened.model, opened.tokenizer, torch.arange(1, 11), settings, seed=1)
    assert 6 < len(sample) <= 99  # 16 positions less the prompt would be 6


def test_a_training_continues_the_first_validation_document(
    finished: Callable[..., Path], text_file: Path
) -> None:
    summary = json.loads((finished() / "summary.json").read_text())
    assert summary["prompt"]
    assert summary["prompt"] in text_file.read_text()
    assert len(summary["sample"]) == 8


def test_probed_attention_is_causal_and_sums_to_one(finished: Callable[..., Path]) -> None:
    model = open_trained(str(finished())).model
    torch.manual_seed(0)
    (weights,) = probe_attention(model, torch.randint(0, 20, (2, 9)))
    assert weights.shape == (2, 2, 9, 9)
    assert torch.allclose(weights.sum(-1), torch.ones(2, 2, 9))
    assert not weights.triu(1).any()


def test_compiled_code_is_left_out_and_put_back(finished: Callable[..., Path]) -> None:
    model = open_trained(str(finished())).model.train()
    model.compile(backend="eager")
    compiled = model._compiled_call_impl
    with evaluated_eagerly(model):
        assert model._compiled_call_impl is None
        assert not model.training
    assert model._compiled_call_impl is compiled
    assert model.training


def test_statistics_are_those_of_the_whole_weights(finished: Callable[..., Path]) -> None:
    model = open_trained(str(finished())).model
    torch.manual_seed(0)
    inputs = torch.randint(0, 20, (2, 9))
    (found,) = probe_statistics(model, inputs)
    (weights,) = probe_attention(model, inputs)
    assert found == pytest.approx(attention_statistics(weights), rel=1e-5)


def test_a_part_of_a_causal_window_has_the_weights_of_the_whole(
    finished: Callable[..., Path],
) -> None:
    model = open_trained(str(finished())).model
    torch.manual_seed(0)
    inputs = torch.randint(0, 20, (2, 9))
    (whole,), (part,) = (probe_attention(model, x) for x in (inputs, inputs[:1, :5]))
    torch.testing.assert_close(part, whole[:1, :, :5, :5])
