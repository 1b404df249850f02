"""LoRA adapters in any causal LM: attached, switched off, distinguished from the rest, merged."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import cast

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from infinito.errors import ConfigError
from infinito.extras import require_extra
from infinito.models.pretrained.merged_products import merge_products

ALL_LINEAR = "all-linear"
OWN_PARAMETERS = ("distance_scale",)
"""Parameters that infinito adds to a model; they train with the adapters."""


@dataclass(frozen=True)
class LoraSettings:
    """The adapters' rank, scale, dropout and layers; see `LoraConf`."""

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    target_modules: tuple[str, ...] = (ALL_LINEAR,)


def add_lora(model: PreTrainedModel, settings: LoraSettings) -> None:
    """Freeze a model and attach adapters, which change nothing at the start: B = 0.

    A is drawn from torch's generator. The model keeps its class, and its config records the
    settings.

    Raises:
        ConfigError: a target matches nothing, or the rank is not below a layer's width.

    Source: Hu et al. 2021, LoRA, arXiv:2106.09685, section 4.1; peft's layers.
    """
    require_extra("lora")
    from peft import LoraConfig

    layers = targeted(model, settings)
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]
        lora_dropout=settings.dropout,
        target_modules=list(layers),
        fan_in_fan_out=all(isinstance(each, Conv1D) for each in layers.values()),
        task_type="CAUSAL_LM",
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "fan_in_fan_out is set")  # peft minds each layer's kind
        model.add_adapter(config)
    merge_products(model)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.float()
    train_own_parameters(model)
    model.config.lora = asdict(settings)


def train_own_parameters(model: PreTrainedModel) -> None:
    """Unfreeze the parameters that infinito added to a model, such as a learned λ."""
    for name, parameter in model.named_parameters():
        if any(own in name for own in OWN_PARAMETERS):
            parameter.requires_grad_(True)


def targeted(model: PreTrainedModel, settings: LoraSettings) -> dict[str, nn.Module]:
    """Return the layers that get adapters, by their full names.

    Raises:
        ConfigError: as `add_lora`, all faults at once.
    """
    layers = linear_layers(model)
    last_names = sorted({name.rpartition(".")[2] for name in layers})
    found: dict[str, nn.Module] = {}
    faults = []
    if not settings.target_modules:
        faults.append(
            f"`model.lora.target_modules`=[] gives no layer an adapter. {type(model).__name__} has "
            f"{', '.join(last_names)}; or use `model.lora.target_modules=[{ALL_LINEAR}]`"
        )
    for target in settings.target_modules:
        matched = {
            name: layer
            for name, layer in layers.items()
            if target == ALL_LINEAR or name == target or name.endswith(f".{target}")
        }
        found.update(matched)
        if not matched:
            faults.append(
                f"`model.lora.target_modules`: {target!r} matches no layer of "
                f"{type(model).__name__}. It has {', '.join(last_names)}; "
                f"or use `model.lora.target_modules=[{ALL_LINEAR}]`"
            )
    widths = {name: min(layer.get_parameter("weight").shape) for name, layer in found.items()}
    narrowest = min(widths, key=lambda name: widths[name], default=None)
    if narrowest is not None and settings.rank >= widths[narrowest]:
        width = widths[narrowest]
        faults.append(
            f"`model.lora.rank`={settings.rank} is not below the width {width} of {narrowest}, so "
            f"it would be no low rank. Use `model.lora.rank={max(1, width // 8)}`"
        )
    if faults:
        raise ConfigError(faults)
    return found


def linear_layers(model: PreTrainedModel) -> dict[str, nn.Module]:
    """Return the layers that can have adapters, by name: all linear ones but the head.

    The head shares its weights with the embedding in most models, which merging would change too.
    """
    head = model.get_output_embeddings()
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and module is not head
    }


def has_adapters(model: nn.Module) -> bool:
    """Return whether a model carries adapters."""
    return any("lora_" in name for name, _ in model.named_parameters())


@contextmanager
def adapters_off(model: nn.Module) -> Iterator[None]:
    """Switch a model's adapters off inside the block, e.g. for preference tuning's reference.

    Args:
        model: a model with adapters, or one that peft wraps.
    """
    if hasattr(model, "disable_adapter"):
        with model.disable_adapter():  # type: ignore[operator]
            yield
        return
    adapted = inside_memory(cast(PreTrainedModel, model))
    adapted.disable_adapters()
    try:
        yield
    finally:
        adapted.enable_adapters()


def inside_memory(model: PreTrainedModel) -> PreTrainedModel:
    """Unwrap a MemoryLM; return any other model unchanged."""
    return getattr(model, "causal_lm", model)


@torch.no_grad()
def merge_adapters(model: PreTrainedModel) -> PreTrainedModel:
    """Add the adapters to the weights they adapt, and return the same model, now a plain one.

    Raises:
        ValueError: the sum is not finite.
    """
    adapted = inside_memory(model)
    if getattr(adapted, "_hf_peft_config_loaded", False):
        require_extra("lora")
        from peft.tuners.tuners_utils import BaseTunerLayer

        for name, module in list(model.named_modules()):
            if isinstance(module, BaseTunerLayer):
                module.merge(safe_merge=True)
                model.set_submodule(name, module.get_base_layer())
        adapted._hf_peft_config_loaded = False
        del adapted.peft_config
    for record in ("lora", "base_model"):
        if hasattr(adapted.config, record):
            delattr(adapted.config, record)
    return model
