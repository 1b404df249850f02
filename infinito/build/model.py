"""Builds the language model."""

from __future__ import annotations

from dataclasses import asdict

import torch
from transformers import PreTrainedModel

from infinito.config import OWN, DistanceLMConf, LanguagePhiConf, PretrainedConf, RunConf
from infinito.data.hub import model_folder, names_a_folder
from infinito.errors import ConfigError
from infinito.models.distance_lm import DistanceLMForCausalLM
from infinito.models.distance_lm_config import DistanceLMConfig
from infinito.models.lora import LoraSettings, add_lora, train_own_parameters
from infinito.models.memory_lm import with_memory
from infinito.models.pretrained import check_length, check_vocabulary, open_base
from infinito.models.replaced_attention import AttentionSettings, use_distance_attention
from infinito.objectives.phi import WEIGHTS
from infinito.seeding import child_seed


def language_model(run: RunConf, vocab_size: int, eos_token_id: int | None) -> PreTrainedModel:
    """A language model; what is drawn of its weights, the run's seed draws.

    Args:
        vocab_size: Highest id of the tokenizer plus one.
    """
    torch.manual_seed(child_seed(run.seed, "model"))
    match run.model:
        case DistanceLMConf() as conf:
            built = distance_lm(run, conf, vocab_size, eos_token_id)
        case PretrainedConf() as conf:
            built = pretrained(run, conf, vocab_size)
        case _:
            raise ConfigError(f"`model.name`={run.model.name} has no model")
    if run.model.gradient_checkpointing:
        built.activation_checkpointing_enable()
    if run.model.memory.name != "none":
        built = remembering(run, built)
    if not any(each.requires_grad for each in built.parameters()):
        raise ConfigError(
            f"`model.trainable`={getattr(run.model, 'trainable', 'all')} leaves nothing to train: "
            "the model has no memory block. Use `memory=integration`, or `model.trainable=lora`"
        )
    return built


def remembering(run: RunConf, model: PreTrainedModel) -> PreTrainedModel:
    """A model with the memory asked for; priorities weigh the components of Φ as the objective."""
    weights: tuple[float, ...] = WEIGHTS
    learned = False
    if isinstance(run.objective, LanguagePhiConf):
        weights = tuple(run.objective.component_weights)
        learned = run.objective.weights == "learned"
    return with_memory(model, run.model.memory, weights, learned)


def distance_lm(
    run: RunConf, conf: DistanceLMConf, vocab_size: int, eos_token_id: int | None
) -> PreTrainedModel:
    """A model with distance attention, its weights drawn."""
    attention = run.attention
    settings = DistanceLMConfig(
        vocab_size=vocab_size,
        hidden_size=conf.dim,
        num_hidden_layers=conf.layers,
        intermediate_size=round(conf.dim * conf.mlp_ratio),
        position=conf.position,
        max_position_embeddings=conf.max_positions,
        dropout=conf.dropout,
        tie_word_embeddings=conf.tie_embeddings,
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
    return DistanceLMForCausalLM(settings)


def pretrained(run: RunConf, conf: PretrainedConf, vocab_size: int) -> PreTrainedModel:
    """The weights that `model.path` names, with the attention and the adapters asked for.

    Raises:
        ConfigError: tokenizer, windows, attention or adapters do not fit the model.
    """
    path = str(conf.path)
    name = None if names_a_folder(path) else path
    built = open_base(model_folder(path), conf.dtype, name)
    check_vocabulary(built, vocab_size)
    check_length(built, run.data.block_size)
    asked = asdict(run.attention)
    if asked["metric"] != OWN:
        fields = AttentionSettings.__dataclass_fields__
        settings = {key: value for key, value in asked.items() if key in fields}
        use_distance_attention(built, AttentionSettings(**settings))
    if conf.trainable == "all":
        del built.config.base_model  # a checkpoint holds every weight then
        return built
    built.requires_grad_(False)
    if conf.trainable == "lora":
        lora = conf.lora
        targets = tuple(lora.target_modules)
        add_lora(built, LoraSettings(lora.rank, lora.alpha, lora.dropout, targets))
    train_own_parameters(built)
    return built
