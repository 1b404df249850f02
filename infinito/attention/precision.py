"""The precision that scores and softmax are computed in."""

from __future__ import annotations

from torch import Tensor


def widen(numbers: Tensor) -> Tensor:
    """Return half-precision numbers as float32, others as they are."""
    return numbers if numbers.dtype.itemsize >= 4 else numbers.float()
