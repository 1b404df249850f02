"""AdamW that decays matrices only."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from infinito.config import AdamWConf


def build_adamw(parameters: Sequence[nn.Parameter], settings: AdamWConf) -> torch.optim.AdamW:
    """Return AdamW of these parameters, of which vectors are not decayed."""
    matrices = [each for each in parameters if each.ndim > 1]
    vectors = [each for each in parameters if each.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=settings.lr,
        betas=(settings.betas[0], settings.betas[1]),
        eps=settings.eps,
        fused=True,
    )
