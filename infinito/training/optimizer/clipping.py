"""Clips gradients, and shows their norm before that."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from infinito.training.distributed.sharding import whole


def clip_gradients(parameters: Sequence[nn.Parameter], clip_norm: float | None) -> Tensor:
    """Scale all gradients down to a norm of `clip_norm`, and return their norm before that.

    Args:
        parameters: those that are trained; they share one norm, whatever optimizer takes them.
        clip_norm: the largest norm; None leaves the gradients as they are.
    """
    limit = clip_norm or float("inf")
    return whole(torch.nn.utils.clip_grad_norm_(parameters, limit, foreach=True))
