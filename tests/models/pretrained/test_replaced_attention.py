"""A model whose attention is replaced: learned λ, what its layers ask for, what is refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPTJConfig,
    GptOssConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
)

from infinito.attention import Backend, Request, choose_backend, functional
from infinito.errors import ConfigError
from infinito.models.distance_lm.config import DistanceLMConfig
from infinito.models.distance_lm.model import DistanceLMForCausalLM
from infinito.models.pretrained.replaced_attention import (
    find_calling_layers,
    list_requests,
    use_backend,
)
from tests.models.pretrained.small_models import GPT2, SIZES, TIME, VOCAB, WINDOW, Make, changed


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


def test_another_backend_can_be_asked_for(make: Make, ids: Tensor) -> None:
    model = changed(make("llama"))
    use_backend(model, "sdpa")
    with pytest.raises(ConfigError, match="sdpa cannot serve l1"):
        model(input_ids=ids)


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
