"""The precision that scores and softmax are computed in."""

from __future__ import annotations

import torch
from torch import Tensor


def widen(numbers: Tensor) -> Tensor:
    """Return half-precision numbers as float32, others unchanged."""
    return numbers if numbers.dtype.itemsize >= 4 else numbers.float()


def products(queries: Tensor, keys: Tensor) -> Tensor:
    """Return q·k (…, time_q, time_k) in float32 at least, also inside autocast."""
    with torch.autocast(queries.device.type, enabled=False):
        return widen(queries) @ widen(keys).transpose(-2, -1)
