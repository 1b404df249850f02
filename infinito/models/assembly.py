"""Builds the language model that a configuration describes."""

from __future__ import annotations

from dataclasses import asdict

import torch
from transformers import PreTrainedModel

from infinito.config import OWN, DistanceLMConf, LanguagePhiConf, PretrainedConf, RunConf
from infinito.device import choose_device
from infinito.errors import ConfigError
from infinito.hub import model_folder, names_a_folder
from infinito.models.distance_lm.config import DistanceLMConfig
from infinito.models.distance_lm.model import DistanceLMForCausalLM
from infinito.models.memory.model import with_memory
from infinito.models.pretrained.lora import (
    LoraSettings,
    add_lora,
    inside_memory,
    train_own_parameters,
)
from infinito.models.pretrained.opening import (
    check_length,
    check_vocabulary,
    open_base,
    open_to_train,
)
from infinito.models.pretrained.replaced_attention import (
    AttentionSettings,
    use_backend,
    use_distance_attention,
)
from infinito.models.trained import Trained, open_trained
from infinito.objectives.phi import WEIGHTS
from infinito.seeding import child_seed


def build_language_model(
    conf: RunConf, vocab_size: int, eos_token_id: int | None
) -> PreTrainedModel:
    """Return the configured language model; new weights are drawn from the run's seed.

    Args:
        vocab_size: Highest id of the tokenizer plus one.

    Raises:
        ConfigError: settings that do not fit the model, or nothing to train.
    """
    torch.manual_seed(child_seed(conf.seed, "model"))
    match conf.model:
        case DistanceLMConf() as model_conf:
            built = build_distance_lm(conf, model_conf, vocab_size, eos_token_id)
        case PretrainedConf() as model_conf:
            built = build_pretrained(conf, model_conf, vocab_size)
        case _:
            raise ConfigError(f"`model.name`={conf.model.name} has no model")
    if conf.model.gradient_checkpointing:
        built.activation_checkpointing_enable()
    if conf.model.memory.name != "none":
        built = add_memory(conf, built)
    if not any(each.requires_grad for each in built.parameters()):
        raise ConfigError(
            f"`model.trainable`={getattr(conf.model, 'trainable', 'all')} leaves nothing to train: "
            "the model has no memory block. Use `memory=integration`, or `model.trainable=lora`"
        )
    return built


def add_memory(conf: RunConf, model: PreTrainedModel) -> PreTrainedModel:
    """Return the model with a memory, whose priorities weigh components of Φ as the objective."""
    weights: tuple[float, ...] = WEIGHTS
    learned = False
    if isinstance(conf.objective, LanguagePhiConf):
        weights = tuple(conf.objective.component_weights)
        learned = conf.objective.weights == "learned"
    return with_memory(model, conf.model.memory, weights, learned)


def build_distance_lm(
    conf: RunConf, model_conf: DistanceLMConf, vocab_size: int, eos_token_id: int | None
) -> PreTrainedModel:
    """Return a model with distance attention and new weights."""
    attention = conf.attention
    settings = DistanceLMConfig(
        vocab_size=vocab_size,
        hidden_size=model_conf.dim,
        num_hidden_layers=model_conf.layers,
        intermediate_size=round(model_conf.dim * model_conf.mlp_ratio),
        position=model_conf.position,
        max_position_embeddings=model_conf.max_positions,
        dropout=model_conf.dropout,
        tie_word_embeddings=model_conf.tie_embeddings,
        zero_init_residual=model_conf.zero_init_residual,
        bigram_embeddings=model_conf.bigram_embeddings,
        value_embeddings=model_conf.value_embeddings,
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


def build_pretrained(conf: RunConf, model_conf: PretrainedConf, vocab_size: int) -> PreTrainedModel:
    """Return the model at `model.path` with the configured attention and adapters.

    Raises:
        ConfigError: tokenizer, windows, attention or adapters do not fit the model.
    """
    path = str(model_conf.path)
    revision = model_conf.revision
    folder = model_folder(path, revision)
    if model_conf.trainable == "all":  # checkpoints hold every weight, not additions to a base
        built = open_to_train(folder, model_conf.dtype)
    else:
        name = None if names_a_folder(path) else path
        built = open_base(folder, model_conf.dtype, name, revision)
    check_vocabulary(built, vocab_size)
    check_length(built, conf.data.block_size)
    attention = asdict(conf.attention)
    if attention["metric"] != OWN:
        fields = AttentionSettings.__dataclass_fields__
        settings = {key: value for key, value in attention.items() if key in fields}
        use_distance_attention(built, AttentionSettings(**settings))
    if model_conf.trainable == "all":
        return built
    built.requires_grad_(False)
    if model_conf.trainable == "lora":
        lora = model_conf.lora
        targets = tuple(lora.target_modules)
        add_lora(built, LoraSettings(lora.rank, lora.alpha, lora.dropout, targets))
    train_own_parameters(built)
    return built


def open_trained_model(conf: RunConf) -> Trained:
    """Return the model at `checkpoint` on the run's device, with `attention.backend`.

    Raises:
        CheckpointError: as `open_trained`.
        DeviceError: this machine has no such device.
    """
    device = choose_device(conf)
    trained = open_trained(str(conf.checkpoint)).to(device)
    use_backend(inside_memory(trained.model), conf.attention.backend)
    return trained
