"""Small models of transformers' own architectures, and the same with another attention."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import GPT2Config, LlamaConfig, MistralConfig, PreTrainedModel, Qwen2Config

from infinito.models.pretrained.replaced_attention import AttentionSettings, use_distance_attention

VOCAB = 50
TIME = 11
WINDOW = 4
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
