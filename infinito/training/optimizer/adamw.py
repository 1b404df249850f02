"""AdamW with its schedule, and the clipping that refuses a gradient that is not finite."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from infinito.config import AdamWConf
from infinito.training.optimizer.rate_schedule import rate_factor


def adamw_and_schedule(
    parameters: Sequence[nn.Parameter],
    settings: AdamWConf,
    total_steps: int,
    scale: Callable[[], float] = lambda: 1.0,
) -> tuple[torch.optim.AdamW, LambdaLR]:
    """AdamW that decays matrices only, and a learning rate that follows the step.

    Args:
        parameters: those that are trained.
        settings: rates and decay.
        total_steps: optimizer steps of the whole training, where the cosine ends.
        scale: a further factor of the rate, asked for at each step.
    """
    matrices = [each for each in parameters if each.ndim > 1]
    vectors = [each for each in parameters if each.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=settings.lr,
        betas=(settings.betas[0], settings.betas[1]),
        eps=settings.eps,
        fused=True,
    )
    factor = rate_factor(
        settings.schedule, settings.warmup_steps, total_steps, settings.min_lr_ratio
    )
    return optimizer, LambdaLR(optimizer, lambda step: factor(step) * scale())


def clipped_norm(parameters: Sequence[nn.Parameter], clip_norm: float | None) -> Tensor:
    """The norm of all gradients before they are clipped to `clip_norm`, None for no clipping."""
    limit = clip_norm or float("inf")
    return torch.nn.utils.clip_grad_norm_(parameters, limit, foreach=True)
