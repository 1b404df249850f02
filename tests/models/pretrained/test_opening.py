"""Bases: what opens and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, LlamaConfig, LlamaForCausalLM

from infinito.errors import CheckpointError, ConfigError
from infinito.models.pretrained.base_weights import hash_of_weights
from infinito.models.pretrained.opening import (
    check_length,
    check_vocabulary,
    learned_positions,
    open_base,
)
from infinito.models.pretrained.replaced_attention import AttentionSettings, use_distance_attention

IDS = torch.arange(10)[None]


def test_a_base_opens_in_training_mode_and_is_recorded(gpt2_folder: Path) -> None:
    model = open_base(gpt2_folder)
    assert model.training
    assert all(each.training for each in model.modules())
    assert model.config.base_model == {
        "path": str(gpt2_folder),
        "weights_sha256": hash_of_weights(gpt2_folder),
        "dtype": "float32",
    }
    assert open_base(gpt2_folder, "bfloat16").dtype == torch.bfloat16


def test_distance_attention_survives_its_folder(gpt2_folder: Path, tmp_path: Path) -> None:
    model = open_base(gpt2_folder).eval()
    settings = AttentionSettings("l1", 0.5, scale_per="head", learned_scale=True)
    use_distance_attention(model, settings)
    with torch.no_grad():
        model.transformer.h[0].attn.distance_scale.raw.add_(1.0)
    model.save_pretrained(tmp_path / "l1")
    again = open_base(tmp_path / "l1").eval()
    assert torch.equal(again(input_ids=IDS).logits, model(input_ids=IDS).logits)


def test_a_checkpoint_of_another_class_is_refused(tmp_path: Path) -> None:
    config = BertConfig(
        vocab_size=20,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
    )
    BertForMaskedLM(config).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"holds a BertForMaskedLM: expected the causal LM"):
        open_base(tmp_path)


def test_weights_that_would_be_drawn_anew_are_refused(tmp_path: Path) -> None:
    config = LlamaConfig(
        vocab_size=20,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
    )
    LlamaForCausalLM(config).model.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"holds a LlamaModel, which lacks lm_head.weight"):
        open_base(tmp_path)


def test_a_folder_without_safe_weights_is_refused(gpt2_folder: Path, tmp_path: Path) -> None:
    shutil.copy(gpt2_folder / "config.json", tmp_path)
    with pytest.raises(CheckpointError, match=r"expected config\.json and model\.safetensors"):
        open_base(tmp_path)
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="could run code and are never read"):
        open_base(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(CheckpointError, match="cannot be read"):
        open_base(tmp_path)


def test_an_unknown_architecture_is_refused(gpt2_folder: Path, tmp_path: Path) -> None:
    shutil.copy(gpt2_folder / "model.safetensors", tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "nothing"}')
    with pytest.raises(CheckpointError, match="cannot be opened as a Hugging Face causal LM"):
        open_base(tmp_path)


def test_a_tokenizer_that_knows_more_is_refused(gpt2_folder: Path) -> None:
    model = open_base(gpt2_folder)
    check_vocabulary(model, 300)
    with pytest.raises(ConfigError, match=r"301 tokens, but GPT2LMHeadModel knows 300.*=own"):
        check_vocabulary(model, 301)


def test_learned_positions_end(gpt2_folder: Path) -> None:
    model = open_base(gpt2_folder)
    assert learned_positions(model) == 64
    check_length(model, 64)
    with pytest.raises(ConfigError, match=r"data.block_size`=65 is longer than the 64 positions"):
        check_length(model, 65)
    rotary = LlamaForCausalLM(
        LlamaConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1)
    )
    assert learned_positions(rotary) is None
