"""How one base is told from another, and what a model has beyond it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import GPT2LMHeadModel

from infinito.errors import CheckpointError
from infinito.models.pretrained.base_weights import additions, check_same_base, hash_of_weights
from infinito.models.pretrained.lora import LoraSettings, add_lora
from infinito.models.pretrained.opening import open_base, rebuild
from infinito.models.pretrained.replaced_attention import AttentionSettings, use_distance_attention

IDS = torch.arange(10)[None]


def test_the_hash_is_of_the_weights_not_of_their_files(gpt2_folder: Path, tmp_path: Path) -> None:
    sharded = tmp_path / "sharded"
    GPT2LMHeadModel.from_pretrained(gpt2_folder).save_pretrained(sharded, max_shard_size="20KB")
    assert (sharded / "model.safetensors.index.json").is_file()
    assert hash_of_weights(sharded) == hash_of_weights(gpt2_folder)
    other = shutil.copytree(gpt2_folder, tmp_path / "other")
    weights = load_file(other / "model.safetensors")
    next(iter(weights.values())).view(-1)[0] += 1e-3
    save_file(weights, other / "model.safetensors", {"format": "pt"})
    assert hash_of_weights(other) != hash_of_weights(gpt2_folder)


def test_what_was_added_can_be_told_and_rebuilt(gpt2_folder: Path) -> None:
    model = open_base(gpt2_folder)
    use_distance_attention(model, AttentionSettings("l1", 0.5, learned_scale=True))
    add_lora(model, LoraSettings(rank=4, target_modules=("c_attn",)))
    with torch.no_grad():
        for each in model.parameters():
            if each.requires_grad:
                each.add_(0.1)
    added = additions(model, model.state_dict())
    assert len(added) == 2 * 2 + 1  # A and B in two layers, one λ
    twin = rebuild(open_base(gpt2_folder), model.config.to_dict())
    assert additions(twin, twin.state_dict()).keys() == added.keys()
    twin.load_state_dict(added, strict=False)
    assert torch.equal(twin.eval()(input_ids=IDS).logits, model.eval()(input_ids=IDS).logits)


def test_adapters_of_another_base_are_refused(gpt2_folder: Path) -> None:
    model = open_base(gpt2_folder)
    other = {**model.config.base_model, "path": "a/b", "weights_sha256": "0" * 64}
    with pytest.raises(CheckpointError, match=r"adapters of another base model: .* a/b .*000000"):
        check_same_base(model, other)
    check_same_base(model, {**model.config.base_model, "path": "moved"})
    changed = {**model.config.base_model, "weights_sha256": "0" * 64}
    with pytest.raises(CheckpointError, match=r"have changed since .*: SHA-256 000000.*old ones"):
        check_same_base(model, changed)
