"""AdamW that decays matrices only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from infinito.config import AdamWConf
from infinito.training.optimizer.lean_adamw import LeanAdamW


def build_adamw(parameters: Sequence[nn.Parameter], settings: AdamWConf) -> torch.optim.AdamW:
    """Return AdamW of these parameters, of which vectors are not decayed."""
    matrices = [each for each in parameters if each.ndim > 1]
    vectors = [each for each in parameters if each.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    options: dict[str, Any] = {
        "lr": settings.lr,
        "betas": (settings.betas[0], settings.betas[1]),
        "eps": settings.eps,
    }
    if settings.in_backward or settings.moments != "float32":
        moments = getattr(torch, settings.moments)
        return LeanAdamW(groups, in_backward=settings.in_backward, moments=moments, **options)
    return torch.optim.AdamW(groups, fused=True, **options)
