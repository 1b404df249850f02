"""Small causal models of many architectures, and pairs for them."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM, PreTrainedModel

import infinito.models.distance_lm.model  # noqa: F401  (registers it with the Auto classes)
from infinito.models.distance_lm.config import DistanceLMConfig
from infinito.preferences.pairs.pair import TokenizedPair

VOCAB = 96

_SIZES: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
_LLAMA = {**_SIZES, "intermediate_size": 64, "initializer_range": 0.3}
_GEMMA = {**_LLAMA, "num_key_value_heads": 2, "head_dim": 8}
_GPT2 = {"vocab_size": VOCAB, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 48}
_NO_TOKENS = {"bos_token_id": None, "eos_token_id": None}

CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", _LLAMA),
    "gpt2": ("GPT2Config", {**_GPT2, "initializer_range": 0.3, **_NO_TOKENS}),
    "qwen2": ("Qwen2Config", {**_LLAMA, "num_key_value_heads": 2}),
    "gpt_neox": ("GPTNeoXConfig", _LLAMA),
    "gpt_neo": (
        "GPTNeoConfig",
        {
            "vocab_size": VOCAB,
            "hidden_size": 32,
            "num_layers": 2,
            "num_heads": 4,
            "window_size": 24,
            "attention_types": [[["global", "local"], 1]],
            **_NO_TOKENS,
        },
    ),
    "mistral_windowed": (
        "MistralConfig",
        {**_LLAMA, "num_key_value_heads": 2, "sliding_window": 8},
    ),
    "gemma2_windowed": ("Gemma2Config", {**_GEMMA, "sliding_window": 8}),
    "gemma2_capped": ("Gemma2Config", {**_GEMMA, "final_logit_softcapping": 3.0}),
    "gemma3_windowed": ("Gemma3TextConfig", {**_GEMMA, "sliding_window": 8}),
    "granite": ("GraniteConfig", {**_LLAMA, "logits_scaling": 4.0}),
    "cohere": ("CohereConfig", {**_LLAMA, "logit_scale": 0.25, **_NO_TOKENS}),
    "bloom": ("BloomConfig", {"vocab_size": VOCAB, "hidden_size": 32, "n_layer": 2, "n_head": 4}),
    "mamba": ("MambaConfig", {"vocab_size": VOCAB, "hidden_size": 32, "num_hidden_layers": 2}),
}
"""Configuration class and arguments by name."""


def make(name: str, attention: str | None = None, seed: int = 0, **changes: Any) -> PreTrainedModel:
    """A model in evaluation mode; `distance_<metric>` is a DistanceLM."""
    torch.manual_seed(seed)
    if name.startswith("distance_"):
        config: Any = DistanceLMConfig(
            **{**_SIZES, "metric": name.removeprefix("distance_"), **changes}
        )
    else:
        kind, arguments = CONFIGS[name]
        config = getattr(transformers, kind)(**{**arguments, **changes})
    options = {} if attention is None else {"attn_implementation": attention}
    return AutoModelForCausalLM.from_config(config, **options).eval()


def random_pairs(count: int, seed: int = 0, longest: int = 12) -> list[TokenizedPair]:
    """Pairs of random tokens and lengths, among them answers of one token."""
    generator = torch.Generator().manual_seed(seed)

    def tokens(least: int, most: int) -> list[int]:
        length = int(torch.randint(least, most + 1, (1,), generator=generator))
        return torch.randint(1, VOCAB, (length,), generator=generator).tolist()

    return [
        TokenizedPair(tokens(1, 2 * longest), tokens(1, longest), tokens(1, longest), None, row)
        for row in range(count)
    ]
