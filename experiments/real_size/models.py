"""Models with random weights of published shapes, written once as Hugging Face folders."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    LlamaConfig,
    PreTrainedConfig,
    Qwen2Config,
)


def qwen2(layers: int, dim: int, heads: int, mlp: int, vocab: int) -> Qwen2Config:
    """Return a configuration of Qwen2's family, with the settings of Qwen2.5-0.5B-Instruct."""
    return Qwen2Config(
        vocab_size=vocab,
        hidden_size=dim,
        intermediate_size=mlp,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=2,
        max_position_embeddings=32768,
        rms_norm_eps=1e-6,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
    )


SHAPES: dict[str, PreTrainedConfig] = {
    "qwen2-0.5b": qwen2(24, 896, 14, 4864, 151_936),
    "qwen2-80m": qwen2(12, 448, 8, 2432, 75_968),
    "gpt2": GPT2Config(),
    "llama-15m": LlamaConfig(
        vocab_size=32_000,
        hidden_size=288,
        intermediate_size=768,
        num_hidden_layers=6,
        num_attention_heads=6,
        max_position_embeddings=256,
        tie_word_embeddings=True,
    ),
}
"""Configurations by name: Qwen2.5-0.5B, one of its proportions, GPT-2 and llama2.c's 15 M."""


def make_model(name: str, folder: Path, tokenizer: str) -> Path:
    """Return the folder of a model from seed 0, written unless it is there.

    Args:
        name: A key of `SHAPES`.
        folder: Where the models lie.
        tokenizer: Folder of a tokenizer with no more tokens than the model.
    """
    target = folder / name
    if (target / "tokenizer.json").is_file():
        return target
    partial = folder / f"{name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    torch.manual_seed(0)
    model: Any = AutoModelForCausalLM.from_config(SHAPES[name])
    words = AutoTokenizer.from_pretrained(tokenizer)
    model.config.eos_token_id = model.generation_config.eos_token_id = words.eos_token_id
    model.save_pretrained(partial)
    words.save_pretrained(partial)
    partial.rename(target)
    return target
