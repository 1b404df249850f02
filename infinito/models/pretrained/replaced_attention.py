"""Replaces the attention inside a transformers model by a distance, fixed or learned."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import nn
from transformers import PreTrainedModel

from infinito.attention.backends.backend import Request
from infinito.attention.metrics.table import find_metric
from infinito.models.distance_lm.block import LearnedScale
from infinito.models.distance_lm.config import DistanceLMConfig
from infinito.models.pretrained.attention_interface import PREFIX, calling_modules, refusal


@dataclass(frozen=True)
class AttentionSettings:
    """The metric of a model's attention and its λ; see `AttentionConf`."""

    metric: str
    scale: float = 1.0
    scale_per: str = "model"
    learned_scale: bool = False
    p: float | None = None
    backend: str = "auto"


def use_distance_attention(model: PreTrainedModel, settings: AttentionSettings) -> None:
    """Replace the attention of every layer of a causal LM; its weights do not change.

    A distance is multiplied by the λ or λ/√dim of its definition; `dot` keeps the model's scaling,
    times λ. Learned λ are parameters `distance_scale` of the model or of each attention.

    Raises:
        ConfigError: the metric is unknown, or this model's attention is more than its scores (the
            reason is named).
    """
    find_metric(settings.metric, settings.p)
    forget_scales(model)
    if not model._can_set_attn_implementation():
        raise refusal(model, "it does not call transformers' attention interface")
    model.config.distance_attention = asdict(settings)
    model.set_attn_implementation(PREFIX + settings.metric)
    layers = find_calling_layers(model)
    expected = model.config.get_text_config().num_hidden_layers
    if len(layers) != expected:
        raise refusal(
            model, f"{len(layers)} of its {expected} layers call transformers' attention interface"
        )
    if settings.learned_scale:
        learn_scales(model, layers, settings)


def use_backend(model: PreTrainedModel, backend: str) -> None:
    """Set the backend of a model's distance attention, if it has one."""
    if isinstance(model.config, DistanceLMConfig):
        model.config.attention_backend = backend
    elif settings := getattr(model.config, "distance_attention", None):
        settings["backend"] = backend


@torch.no_grad()
def find_calling_layers(model: PreTrainedModel) -> dict[nn.Module, int]:
    """Return the attention modules that call the interface, with their heads, by a short trial.

    Raises:
        ConfigError: an attention passes an option that is refused.
    """
    found: dict[nn.Module, int] = {}
    training = model.training
    ids = torch.ones(1, 3, dtype=torch.long, device=model.device)
    token = calling_modules.set(found)
    try:
        # With padding, for some models build their mask, and so call with it, only then.
        model.eval()(input_ids=ids, attention_mask=(ids.cumsum(-1) > 1).long(), use_cache=False)
    finally:
        calling_modules.reset(token)
        model.train(training)
    return found


def learn_scales(
    model: PreTrainedModel, layers: dict[nn.Module, int], settings: AttentionSettings
) -> None:
    """Give the model one learned λ, or each attention one for each of its heads."""
    if settings.scale_per == "model":
        model.distance_scale = started_scale(1, settings.scale, model.device)
    for attention, heads in layers.items():
        if settings.scale_per == "head":
            attention.distance_scale = started_scale(heads, settings.scale, model.device)
        else:
            # In a tuple, so that the parameter has no second name.
            attention.shared_scale = (model.distance_scale,)  # type: ignore[assignment]


def forget_scales(model: PreTrainedModel) -> None:
    """Remove the learned λ of an earlier replacement."""
    for module in model.modules():
        for name in ("distance_scale", "shared_scale"):
            if hasattr(module, name):
                delattr(module, name)


def started_scale(count: int, start: float, device: torch.device) -> LearnedScale:
    """Return `count` learned λ that equal `start`."""
    scale = LearnedScale(count, start)
    with torch.no_grad():
        scale.raw.copy_(scale.first_raw())
    return scale.to(device)


def list_requests(
    model: PreTrainedModel, batch: int, time: int, device: str, dtype: torch.dtype
) -> list[Request]:
    """Return the attention requests of a training step; none for a model's own attention.

    Layers whose window is shorter than the text need a mask, and so make a request of their own.

    Args:
        batch: sequences. time: tokens in each.
        device: a type such as "cpu" or "cuda". dtype: that of the activations.
    """
    settings = getattr(model.config, "distance_attention", None)
    if settings is None:
        return []
    config = model.config.get_text_config()
    heads = config.num_attention_heads
    dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    window = getattr(config, "sliding_window", None) or getattr(
        config, "attention_chunk_size", None
    )
    kinds = getattr(config, "layer_types", None) or ("all alike",)
    cut = {window is not None and window <= time and kind != "full_attention" for kind in kinds}
    request = Request(
        find_metric(settings["metric"], settings["p"]).KERNEL,
        settings["p"],
        device,
        dtype,
        batch=batch,
        heads=heads,
        kv_heads=getattr(config, "num_key_value_heads", None) or heads,
        time_q=time,
        time_k=time,
        dim=dim,
        value_dim=dim,
    )
    return [request._replace(free_mask=each) for each in sorted(cut)]
