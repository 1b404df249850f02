"""The precision that scores and softmax are computed in."""

from __future__ import annotations

import torch
from torch import Tensor


def widen(numbers: Tensor) -> Tensor:
    """Return half-precision numbers as float32, others as they are."""
    return numbers.to(torch.promote_types(numbers.dtype, torch.float32))
