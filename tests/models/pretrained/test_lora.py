"""Adapters: what they match, what they change, what merging gives."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from infinito.errors import ConfigError
from infinito.models.distance_lm.config import DistanceLMConfig
from infinito.models.distance_lm.model import DistanceLMForCausalLM
from infinito.models.pretrained.lora import (
    LoraSettings,
    adapters_off,
    add_lora,
    has_adapters,
    linear_layers,
    merge_adapters,
)
from infinito.models.pretrained.replaced_attention import AttentionSettings, use_distance_attention

IDS = torch.arange(10)[None]


@pytest.fixture
def gpt2() -> PreTrainedModel:
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=20, n_embd=16, n_layer=2, n_head=2, n_positions=32)
    return AutoModelForCausalLM.from_config(config).eval()


@pytest.fixture
def llama() -> PreTrainedModel:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=20,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        tie_word_embeddings=True,
    )
    return AutoModelForCausalLM.from_config(config).eval()


def logits(model: PreTrainedModel) -> Tensor:
    return model(input_ids=IDS).logits


def stirred(model: PreTrainedModel) -> PreTrainedModel:
    """Gives every B a value, as training does."""
    with torch.no_grad():
        for name, each in model.named_parameters():
            if "lora_B" in name:
                each.normal_()
    return model


def test_a_fresh_adapter_changes_nothing_and_trains_alone(gpt2: PreTrainedModel) -> None:
    before = logits(gpt2)
    add_lora(gpt2, LoraSettings(rank=4, alpha=32, dropout=0.1, target_modules=("c_attn", "c_proj")))
    assert type(gpt2).__name__ == "GPT2LMHeadModel"
    assert torch.equal(logits(gpt2), before)
    trained = {name for name, each in gpt2.named_parameters() if each.requires_grad}
    assert trained
    assert all("lora_" in name for name in trained)
    assert len(trained) == 2 * 3 * 2  # A and B of attn.c_attn, attn.c_proj and mlp.c_proj, twice


def test_an_adapted_layer_is_the_formula(gpt2: PreTrainedModel) -> None:
    """y = x W + b + (alpha / rank) · x Aᵀ Bᵀ with GPT-2's (inputs, outputs) weights."""
    add_lora(gpt2, LoraSettings(rank=4, alpha=32, target_modules=("c_attn",)))
    layer: Any = stirred(gpt2).get_submodule("transformer.h.0.attn.c_attn")
    assert isinstance(layer.base_layer, Conv1D)
    inputs = torch.randn(3, 16)
    down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    base = inputs @ layer.base_layer.weight + layer.base_layer.bias
    torch.testing.assert_close(layer(inputs), base + 8.0 * (inputs @ down.T) @ up.T)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_merging_keeps_the_logits_and_leaves_a_plain_model(
    name: str, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(name)
    plain = copy.deepcopy(model)
    add_lora(model, LoraSettings(rank=4))
    adapted = logits(stirred(model))
    assert not torch.allclose(adapted, logits(plain))
    merged = merge_adapters(copy.deepcopy(model))
    torch.testing.assert_close(logits(merged), adapted, atol=1e-5, rtol=1e-5)
    assert merged.state_dict().keys() == plain.state_dict().keys()
    assert not has_adapters(merged)
    assert not hasattr(merged.config, "lora")


def test_adapters_can_be_off_for_a_while(llama: PreTrainedModel) -> None:
    before = logits(llama)
    add_lora(llama, LoraSettings(rank=4))
    adapted = logits(stirred(llama))
    with adapters_off(llama):
        torch.testing.assert_close(logits(llama), before)
    torch.testing.assert_close(logits(llama), adapted)


def test_all_linear_leaves_the_head_alone(llama: PreTrainedModel) -> None:
    names = {name.rpartition(".")[2] for name in linear_layers(llama)}
    assert names == {
        *("q_proj", "k_proj", "v_proj", "o_proj"),
        *("gate_proj", "up_proj", "down_proj"),
    }


def test_adapters_fit_a_distance_lm() -> None:
    torch.manual_seed(0)
    model = DistanceLMForCausalLM(DistanceLMConfig(vocab_size=20, hidden_size=32)).eval()
    before = logits(model)
    add_lora(model, LoraSettings(rank=4, target_modules=("qkv", "out")))
    torch.testing.assert_close(logits(model), before)
    adapted = logits(stirred(model))
    torch.testing.assert_close(logits(merge_adapters(model)), adapted, atol=1e-5, rtol=1e-5)


def test_learned_scales_train_with_the_adapters(llama: PreTrainedModel) -> None:
    settings = AttentionSettings("l1", learned_scale=True, scale_per="head")
    use_distance_attention(llama, settings)
    add_lora(llama, LoraSettings(rank=4))
    trained = [name for name, each in llama.named_parameters() if each.requires_grad]
    assert sum("distance_scale" in name for name in trained) == 2


def test_adapters_of_a_half_precision_base_are_float32(llama: PreTrainedModel) -> None:
    add_lora(llama.bfloat16(), LoraSettings(rank=4))
    for name, each in llama.named_parameters():
        assert each.dtype == (torch.float32 if "lora_" in name else torch.bfloat16), name
    assert logits(stirred(llama)).dtype == torch.bfloat16


def test_targets_that_match_nothing_are_answered_with_names(gpt2: PreTrainedModel) -> None:
    with pytest.raises(
        ConfigError, match=r"'q_proj' matches no layer.*It has c_attn, c_fc, c_proj"
    ):
        add_lora(gpt2, LoraSettings(target_modules=("c_attn", "q_proj")))
    with pytest.raises(ConfigError, match=r"gives no layer an adapter.* has c_attn, c_fc, c_proj"):
        add_lora(gpt2, LoraSettings(target_modules=()))
    assert not has_adapters(gpt2)


@pytest.mark.parametrize("rank", [16, 100])
def test_a_rank_that_is_not_low_is_refused(gpt2: PreTrainedModel, rank: int) -> None:
    with pytest.raises(ConfigError, match=rf"rank`={rank} is not below the width 16 .*rank=2"):
        add_lora(gpt2, LoraSettings(rank=rank))
    assert not has_adapters(gpt2)
