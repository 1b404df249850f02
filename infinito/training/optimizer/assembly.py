"""Builds the optimizer that the configuration names, and describes what it takes."""

from __future__ import annotations

from collections import Counter

from torch.optim import Optimizer
from transformers import PreTrainedModel

from infinito.config import AdamWConf, MuonConf
from infinito.training.optimizer.adamw import build_adamw
from infinito.training.optimizer.muon import build_muon, hidden_matrices


def build_optimizer(model: PreTrainedModel, settings: AdamWConf) -> Optimizer:
    """Return the optimizer of a model's trained parameters.

    Raises:
        ConfigError: `optimizer=muon`, and no hidden matrix is trained.
    """
    if isinstance(settings, MuonConf):
        return build_muon(model, settings)
    return build_adamw([each for each in model.parameters() if each.requires_grad], settings)


def describe_optimizer(model: PreTrainedModel, settings: AdamWConf) -> str:
    """Return which optimizer takes how many parameters, and which matrices Muon takes."""
    trained = model.num_parameters(only_trainable=True)
    if not isinstance(settings, MuonConf):
        return f"adamw for {trained:,} parameters"
    matrices = hidden_matrices(model)
    count = sum(each.numel() for each in matrices.values())
    kinds = Counter(_kind(name) for name in matrices)
    which = ", ".join(f"{number} {kind}" for kind, number in kinds.items())
    return f"muon for {count:,} parameters ({which}), adamw for {trained - count:,}"


def _kind(name: str) -> str:
    """Return the last words of a weight's name that are neither a number nor peft's own.

    For example "feed_forward.up" of "model.layers.0.feed_forward.up.weight", and "q_proj.lora_A"
    of "model.layers.0.attn.q_proj.lora_A.default.weight".
    """
    words = [word for word in name.split(".")[:-1] if not word.isdigit() and word != "default"]
    return ".".join(words[-2:])
