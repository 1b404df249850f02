"""Configurations of tiny causal LMs of three architectures, and tokens for them."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import GPT2Config, LlamaConfig, PreTrainedConfig

from infinito.models.distance_lm.config import DistanceLMConfig

VOCAB = 40
CONFIGS: dict[str, PreTrainedConfig] = {
    "gpt2": GPT2Config(
        vocab_size=VOCAB, n_embd=16, n_layer=2, n_head=2, n_positions=64,
        bos_token_id=0, eos_token_id=0, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    ),
    "llama": LlamaConfig(
        vocab_size=VOCAB, hidden_size=16, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, intermediate_size=32,
    ),
    "distance": DistanceLMConfig(
        vocab_size=VOCAB, hidden_size=16, num_hidden_layers=2, num_attention_heads=2
    ),
}  # fmt: skip


def tokens(batch: int = 3, time: int = 36, seed: int = 9) -> Tensor:
    return torch.randint(1, VOCAB, (batch, time), generator=torch.Generator().manual_seed(seed))
