"""What a training is, for the top of its output."""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from infinito.attention import explain
from infinito.config import (
    OWN,
    AttentionConf,
    ConversationsConf,
    LanguagePhiConf,
    PretrainedConf,
    RunConf,
)
from infinito.data.conversations.datamodule import ConversationDataModule
from infinito.data.datamodule import LanguageDataModule
from infinito.data.sources.markov import MarkovSource
from infinito.device import choose_autocast_dtype, choose_device
from infinito.models.distance_lm.config import DistanceLMConfig
from infinito.models.pretrained.lora import inside_memory
from infinito.models.pretrained.replaced_attention import list_requests
from infinito.training.assembly import LanguageTraining
from infinito.training.optimizer.assembly import describe_optimizer


def describe_training(conf: RunConf, training: LanguageTraining) -> dict[str, Any]:
    """Return what a run is, for the top of its output."""
    data, model, length = training.data, training.model, training.length
    if isinstance(data, ConversationDataModule):
        return describe_conversations(conf, training, data)
    train, valid = data.split_meta("train"), data.split_meta("valid")
    counts = f"{train.tokens:,} to train, {valid.tokens:,} to validate"
    return {
        "model": describe_size(model),
        "attention": describe_attention(conf.attention, model.config),
        "text": data.source.description,
        "tokens": f"{counts}, vocabulary {data.vocab_size:,}",
        **describe_objective(conf, model),
        "training": (
            f"{length.steps:,} steps of {describe_batch(conf)}, "
            f"{length.batches / length.batches_per_epoch:.3g} epochs"
        ),
        "optimizer": describe_optimizer(model, conf.optimizer),
        "seed": conf.seed,
        **known_floor(data),
    }


def describe_conversations(
    conf: RunConf, training: LanguageTraining, data: ConversationDataModule
) -> dict[str, Any]:
    """Return what a training on conversations is."""
    length, model = training.length, training.model
    learned = sum(len(each.learned) for each in data.train.rows)
    tokens = sum(len(each.ids) for each in data.train.rows)
    in_step = conf.data.batch_size * conf.trainer.accumulate * conf.trainer.processes
    return {
        "model": describe_size(model),
        "attention": f"that of {conf.checkpoint}"
        if takes_model(conf)
        else describe_attention(conf.attention, model.config),
        "conversations": f"{len(data.train.rows):,} of {data.train.source}",
        "held out": f"{len(data.valid.rows):,} of {data.valid.source}",
        "tokens": f"{tokens:,} to train, {learned:,} of them learned, vocabulary "
        f"{data.vocab_size:,}",
        "layout": data.layout,
        "training": (
            f"{length.steps:,} steps of {in_step} conversations, "
            f"{length.batches / length.batches_per_epoch:.3g} epochs"
        ),
        "optimizer": describe_optimizer(model, conf.optimizer),
        "seed": conf.seed,
    }


def takes_model(conf: RunConf) -> bool:
    """Return whether a training takes the whole model of `checkpoint`, whatever `model` says."""
    is_tuned = isinstance(conf.data, ConversationsConf) and conf.checkpoint is not None
    return is_tuned and not isinstance(conf.model, PretrainedConf)


def describe_batch(conf: RunConf) -> str:
    """Return the size of an optimizer step, and the share of a process where there are several."""
    own, processes = conf.data.batch_size * conf.trainer.accumulate, conf.trainer.processes
    size = f"{own * processes} × {conf.data.block_size} tokens"
    return size if processes == 1 else f"{size} ({own} in each of {processes} processes)"


def describe_objective(conf: RunConf, model: PreTrainedModel) -> dict[str, str]:
    """Return what is added to the language loss, where something is."""
    if not isinstance(conf.objective, LanguagePhiConf):
        return {}
    scale, offset = model.config.phi_calibration
    low, high = conf.objective.band
    phi = f"{scale:.4g} · raw {offset:+.4g}, band {low:g} to {high:g}"
    return {"objective": f"language + {conf.objective.lambda_phi:g} · Φ, Φ = {phi}"}


def describe_size(model: PreTrainedModel) -> str:
    """Return how large a model is, and how much of it is trained."""
    config, total = model.config.get_text_config(), model.num_parameters()
    trained = model.num_parameters(only_trainable=True)
    of_them = f", {trained:,} of them trained" if trained < total else ""
    sizes = f"{config.num_hidden_layers} layers of {config.hidden_size}"
    return f"{total:,} parameters{of_them}: {sizes}"


def describe_attention(conf: AttentionConf, config: PreTrainedConfig) -> str:
    """Return which attention a model has."""
    heads = config.get_text_config().num_attention_heads
    if conf.metric == OWN:
        return f"the model's own, {heads} heads"
    return f"{conf.metric}, {heads} heads, λ {conf.scale:g}{' learned' * conf.learned_scale}"


def attention_choice(conf: RunConf, model: PreTrainedModel) -> str:
    """Return which attention backend serves a training step, and why."""
    model = inside_memory(model)
    device = choose_device(conf).type
    double = conf.trainer.precision == "64-true"
    dtype = torch.float64 if double else choose_autocast_dtype(conf) or model.dtype
    sizes = (conf.data.batch_size, conf.data.block_size, device, dtype)
    if isinstance(model.config, DistanceLMConfig):
        return explain(model.config.attention_request(*sizes), conf.attention.backend)
    requests = list_requests(model, *sizes)
    if not requests:
        return f"the model's own attention ({model.config._attn_implementation})"
    return " ".join(explain(request, conf.attention.backend) for request in requests)


def known_floor(data: LanguageDataModule) -> dict[str, float]:
    """Return the entropy that no model can beat, in nats per token, where the source knows it."""
    if not isinstance(data.source, MarkovSource):
        return {}
    return {"entropy rate": data.source.entropy_rate_nats}
