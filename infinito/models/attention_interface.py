"""Distance attention inside any transformers model that asks the attention interface.

Importing this module registers `infinito_<metric>` with transformers for every metric, so that
`attn_implementation="infinito_l1"` works wherever a model is opened. `use_distance_attention` also
sets λ, checks that each layer takes part, and leaves its settings in the model's config.
"""

from __future__ import annotations

import math
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import causal_mask_function, prepare_padding_mask, sdpa_mask
from transformers.utils.output_capturing import _active_collector

from infinito.attention import METRICS, distance_attention, prepare, reference_attention
from infinito.attention.backend import Request
from infinito.attention.metrics import find_metric
from infinito.attention.observation import AttentionCall, note
from infinito.errors import ConfigError
from infinito.models.distance_block import LearnedScale
from infinito.models.visibility import whole_mask

PREFIX = "infinito_"

REFUSED = {
    "softcap": "it caps the logits of its attention",
    "s_aux": "its softmax has sinks",
    "sinks": "its softmax has sinks",
    "position_bias": "it adds a bias to its scores",
    "indices": "it picks the keys that a query sees",
    "block_indices": "it picks the keys that a query sees",
    "cache": "its cache is paged",
}
"""Options that models pass to their attention and that change it, and what each one means."""

_asked: ContextVar[dict[nn.Module, int] | None] = ContextVar("asked", default=None)


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
    """Replaces the attention of every layer of a causal LM; its weights stay as they are.

    A distance takes λ/√dim of its own definition; `dot` keeps the model's scaling, times λ. Learned
    λ are parameters `distance_scale`, of the model or of each attention.

    Raises:
        ConfigError: the metric is unknown, or this model's attention is more than its scores (the
            reason is named).
    """
    find_metric(settings.metric, settings.p)
    forget_scales(model)
    if not model._can_set_attn_implementation():
        raise refusal(model, "it does not ask transformers' attention interface")
    model.config.distance_attention = asdict(settings)
    model.set_attn_implementation(PREFIX + settings.metric)
    layers = asking_layers(model)
    expected = model.config.get_text_config().num_hidden_layers
    if len(layers) != expected:
        raise refusal(
            model, f"{len(layers)} of its {expected} layers ask transformers' attention interface"
        )
    if settings.learned_scale:
        learn_scales(model, layers, settings)


@torch.no_grad()
def asking_layers(model: PreTrainedModel) -> dict[nn.Module, int]:
    """Return the attention modules that ask the interface and their heads, by a trial of 3 tokens.

    Raises:
        ConfigError: an attention passes an option that is refused.
    """
    found: dict[nn.Module, int] = {}
    training = model.training
    ids = torch.ones(1, 3, dtype=torch.long, device=model.device)
    token = _asked.set(found)
    try:
        model.eval()(input_ids=ids, attention_mask=(ids.cumsum(-1) > 1).long(), use_cache=False)
    finally:
        _asked.reset(token)
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
    """Take away the learned λ of an earlier attention."""
    for module in model.modules():
        for name in ("distance_scale", "shared_scale"):
            if hasattr(module, name):
                delattr(module, name)


def started_scale(count: int, start: float, device: torch.device) -> LearnedScale:
    """Return `count` learned λ that are `start` now."""
    scale = LearnedScale(count, start)
    with torch.no_grad():
        scale.raw.copy_(scale.first_raw())
    return scale.to(device)


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    *,
    metric: str,
    **options: Any,
) -> tuple[Tensor, Tensor | None]:
    """Return what transformers wants of an attention: outputs and, where asked for, weights.

    Args:
        module: the attention module; its config may hold `distance_attention`.
        query: (batch, heads, time_q, dim).
        key: (batch, kv_heads, time_k, dim), with what the cache holds.
        value: (batch, kv_heads, time_k, value_dim).
        attention_mask: what `visible` returned, or a user's own mask of four axes.
        scaling: what the model multiplies a dot product with.

    Returns:
        (batch, time_q, heads, value_dim), and (batch, heads, time_q, time_k) or None.

    Raises:
        ConfigError: an option that is refused, or a mask that is a bias.
    """
    for name, meaning in REFUSED.items():
        if options.get(name) is not None:
            raise refusal(module, meaning)
    settings = getattr(module.config, "distance_attention", None) or {}
    scale = scale_of(module, settings)
    if metric == "dot" and scaling is not None:
        scale = scale * (scaling * math.sqrt(query.shape[-1]))
    request: dict[str, Any] = {
        "metric": metric,
        "scale": scale,
        "p": settings.get("p"),
        "causal": getattr(module, "is_causal", True) if is_causal is None else is_causal,
        "dropout_p": dropout,
        "key_padding": as_visible(module, attention_mask, query),
    }
    weights = None
    if wants_weights(module, query.shape[1]):
        note(seen_call(query, key, value, request))
        mixed, weights = reference_attention(query, key, value, **request)
    else:
        backend = settings.get("backend", "auto")
        mixed = distance_attention(query, key, value, **request, backend=backend)
    return mixed.transpose(1, 2).contiguous(), weights


def request_of(
    model: PreTrainedModel, batch: int, time: int, device: str, dtype: torch.dtype
) -> Request | None:
    """Return what a training step asks of the attention; None where it is a model's own.

    Args:
        batch: sequences. time: tokens in each.
        device: a type such as "cpu" or "cuda". dtype: that of the activations.
    """
    settings = getattr(model.config, "distance_attention", None)
    if settings is None:
        return None
    config = model.config.get_text_config()
    heads = config.num_attention_heads
    dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    return Request(
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


def seen_call(query: Tensor, key: Tensor, value: Tensor, request: dict[str, Any]) -> AttentionCall:
    """Return what those who watch attention are told of a call to the reference."""
    metric, p = request["metric"], request["p"]
    queries, keys, _, factor = prepare(query, key, value, metric, request["scale"], p)
    kernel = find_metric(metric, p).KERNEL
    return AttentionCall(
        queries, keys, kernel, factor, p, request["causal"], request["key_padding"]
    )


def scale_of(module: nn.Module, settings: dict[str, Any]) -> float | Tensor:
    """Return the λ of an attention: learned (heads,) or (1,), or the fixed one."""
    (shared,) = getattr(module, "shared_scale", (None,))
    learned = getattr(module, "distance_scale", shared)
    return settings.get("scale", 1.0) if learned is None else learned()


def wants_weights(module: nn.Module, heads: int) -> bool:
    """Return whether attentions are being collected; tells a trial that this module was asked."""
    if torch.compiler.is_compiling():
        return False
    if (asked := _asked.get()) is not None:
        asked[module] = heads
    return "attentions" in (_active_collector.get() or ())


def as_visible(module: nn.Module, mask: Tensor | None, query: Tensor) -> Tensor | None:
    """Return a mask as `distance_attention` takes it.

    Raises:
        ConfigError: a mask of numbers that do more than hide keys.
    """
    if mask is None or mask.ndim == 2:
        return mask
    if mask.dtype != torch.bool and not torch.compiler.is_compiling():
        hidden = mask <= torch.finfo(mask.dtype).min / 2
        if not (hidden | (mask == 0)).all():
            raise refusal(module, "its mask adds a bias to the scores")
    mask = whole_mask(mask)
    if mask.shape[1] == mask.shape[2] == 1:
        return mask[:, 0, 0].expand(query.shape[0], -1)
    return mask


def visible(
    batch_size: int,
    q_length: int,
    kv_length: int,
    q_offset: int | Tensor = 0,
    kv_offset: int = 0,
    mask_function: Any = causal_mask_function,
    attention_mask: Tensor | None = None,
    local_size: int | None = None,
    allow_is_causal_skip: bool = True,
    **options: Any,
) -> Tensor | None:
    """Return what is to be seen beyond causality aligned bottom-right: the mask function.

    Args:
        attention_mask: (batch, time), true for a real token.
        local_size: the sliding window, where there is one.

    Returns:
        None, a padding (batch, kv_length), or bool (batch, 1, q_length, kv_length) where a window,
        packed rows or a cache allocated to its full length need more.
    """
    whole = mask_function is causal_mask_function or (local_size or 0) > kv_length
    aligned = isinstance(q_offset, int) and q_offset + q_length == kv_offset + kv_length
    if not (whole and aligned and allow_is_causal_skip):
        return sdpa_mask(
            batch_size,
            q_length,
            kv_length,
            q_offset,  # type: ignore[arg-type]
            kv_offset,
            mask_function,
            attention_mask,
            local_size,
            allow_is_causal_skip=False,
            **options,
        )
    padding = prepare_padding_mask(attention_mask, kv_length, kv_offset)
    if padding is None:
        return None
    padding = padding[:, kv_offset : kv_offset + kv_length]
    if not torch.compiler.is_compiling() and padding.all():
        return None
    return padding


def refusal(module: nn.Module, reason: str) -> ConfigError:
    """Return the error for a model whose attention is more than scores between queries and keys."""
    return ConfigError(
        f"`attention` cannot be changed in {type(module).__name__}: {reason}, which distance "
        "attention would drop. Use `attention=own`"
    )


for _metric in METRICS:
    AttentionInterface.register(PREFIX + _metric, partial(attend, metric=_metric))
    AttentionMaskInterface.register(PREFIX + _metric, visible)
