"""Builds the language model."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel

from infinito.config import RunConf
from infinito.models.distance_lm import DistanceLMForCausalLM
from infinito.models.distance_lm_config import DistanceLMConfig
from infinito.seeding import child_seed


def language_model(run: RunConf, vocab_size: int, eos_token_id: int | None) -> PreTrainedModel:
    """A language model with the weights that the run's seed draws."""
    model, attention = run.model, run.attention
    settings = DistanceLMConfig(
        vocab_size=vocab_size,
        hidden_size=model.dim,
        num_hidden_layers=model.layers,
        intermediate_size=round(model.dim * model.mlp_ratio),
        position=model.position,
        max_position_embeddings=model.max_positions,
        dropout=model.dropout,
        tie_word_embeddings=model.tie_embeddings,
        num_attention_heads=attention.heads,
        num_key_value_heads=attention.kv_heads,
        metric=attention.metric,
        p=attention.p,
        scale=attention.scale,
        scale_per=attention.scale_per,
        learned_scale=attention.learned_scale,
        attention_dropout=attention.dropout,
        attention_backend=attention.backend,
        eos_token_id=eos_token_id,
    )
    torch.manual_seed(child_seed(run.seed, "model"))
    built = DistanceLMForCausalLM(settings)
    if model.gradient_checkpointing:
        built.activation_checkpointing_enable()
    return built
