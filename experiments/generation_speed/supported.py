"""Which models have a decoder, and why others have none."""

from __future__ import annotations

import torch
from decoder import Decoder
from distance import DistanceDecoder
from gpt2 import GPT2Decoder
from llama import LlamaDecoder
from torch import nn
from transformers import (
    GPT2LMHeadModel,
    LlamaForCausalLM,
    MistralForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2ForCausalLM,
)
from transformers.models.gpt2.modeling_gpt2 import (
    GPT2MLP,
    GPT2Attention,
    GPT2Block,
    GPT2Model,
)
from transformers.models.llama import modeling_llama as llama
from transformers.models.mistral import modeling_mistral as mistral
from transformers.models.qwen2 import modeling_qwen2 as qwen2
from transformers.pytorch_utils import Conv1D

from infinito.models.distance_lm.block import (
    DistanceAttention,
    DistanceBlock,
    FeedForward,
    LearnedScale,
    ResidualLinear,
)
from infinito.models.distance_lm.learned_positions import LearnedPositions
from infinito.models.distance_lm.model import DistanceLMForCausalLM, DistanceLMModel
from infinito.models.distance_lm.rotary_positions import RotaryPositions

DECODERS: dict[type[PreTrainedModel], type[Decoder]] = {
    DistanceLMForCausalLM: DistanceDecoder,
    GPT2LMHeadModel: GPT2Decoder,
    LlamaForCausalLM: LlamaDecoder,
    MistralForCausalLM: LlamaDecoder,
    Qwen2ForCausalLM: LlamaDecoder,
}
"""Decoders by the exact class of a model."""

KNOWN_MODULES = {
    *DECODERS,
    *(nn.Dropout, nn.Embedding, nn.LayerNorm, nn.Linear, nn.ModuleList, Conv1D),
    *(DistanceLMModel, DistanceBlock, DistanceAttention, FeedForward, ResidualLinear),
    *(LearnedPositions, LearnedScale, RotaryPositions),
    *(GPT2Model, GPT2Block, GPT2Attention, GPT2MLP),
    *(llama.LlamaModel, llama.LlamaDecoderLayer, llama.LlamaAttention, llama.LlamaMLP),
    *(llama.LlamaRMSNorm, llama.LlamaRotaryEmbedding),
    *(mistral.MistralModel, mistral.MistralDecoderLayer, mistral.MistralAttention),
    *(mistral.MistralMLP, mistral.MistralRMSNorm, mistral.MistralRotaryEmbedding),
    *(qwen2.Qwen2Model, qwen2.Qwen2DecoderLayer, qwen2.Qwen2Attention, qwen2.Qwen2MLP),
    *(qwen2.Qwen2RMSNorm, qwen2.Qwen2RotaryEmbedding),
}
"""Modules whose computation the decoders repeat, beside activations."""


def find_decoder(model: PreTrainedModel) -> type[Decoder] | None:
    """Return the decoder of a model, or None where `obstacle` names a reason."""
    return None if obstacle(model) else DECODERS[type(model)]


def obstacle(model: PreTrainedModel) -> str | None:
    """Return why transformers' own loop must write a model's text, or None."""
    if type(model) not in DECODERS:
        return f"{type(model).__name__} has no decoding step of its own"
    config = model.config
    if getattr(config, "bigram_embeddings", 0):
        return "it has bigram embeddings"
    if getattr(config, "add_cross_attention", False):
        return "it has cross-attention"
    if type(model) is not DistanceLMForCausalLM and config._attn_implementation != "sdpa":
        return f"its attention is {config._attn_implementation}"
    if (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default") != "default":
        return "its rotary positions are scaled"
    if "sliding_attention" in _kinds(config):
        return "its attention has a sliding window"
    for name, module in model.named_modules():
        if _is_changed(module):
            return f"{name or 'the model'} is a {type(module).__name__}, or has hooks"
    if model.training:
        return "it is in training mode"
    if torch.is_autocast_enabled(model.device.type):
        return "it runs under autocast"
    return None


def _kinds(config: PreTrainedConfig) -> list[str]:
    """Return the kinds of attention in a model's layers."""
    kinds = getattr(config, "layer_types", None)
    window = getattr(config, "sliding_window", None)  # Mistral's, of all its layers
    return list(kinds or ["full_attention" if window is None else "sliding_attention"])


def _is_changed(module: nn.Module) -> bool:
    known = type(module) in KNOWN_MODULES or type(module).__module__ == "transformers.activations"
    known = known or isinstance(module, nn.SiLU | nn.GELU)
    hooks = module._forward_hooks or module._forward_pre_hooks
    return not known or bool(hooks) or "forward" in vars(module)
