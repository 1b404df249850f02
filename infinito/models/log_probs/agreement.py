"""Whether another way to compute log-probabilities agrees with a model's plain logits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, finfo, nn

TOLERANCE_EPS = 32
"""Largest allowed difference of a token's log-probability, in rounding errors of the weights' type
relative to the largest log-probability or 1."""

TOLERANCE_EPS_16_BIT = 8
"""The same for weights of fewer than 32 bits, where a wrong mask may stay below 32 rounding errors:
measured, right layouts differ by less than 1 and wrong ones by 20 and more."""


def describe_disagreement(model: nn.Module, found: Tensor, plain: Tensor) -> str | None:
    """Return how far log-probabilities are from the plain ones, if that is more than rounding."""
    difference = float((found - plain).abs().max())
    precision = finfo(next(model.parameters()).dtype)
    errors = TOLERANCE_EPS if precision.bits >= 32 else TOLERANCE_EPS_16_BIT
    allowed = errors * precision.eps * max(1.0, float(plain.abs().max()))
    if difference <= allowed:
        return None
    return f"log-probabilities differ by {difference:.1e} from those of plain logits"


@contextmanager
def exact_products() -> Iterator[None]:
    """Compute matrix products in float32 here, whatever `trainer.matmul_precision` says.

    Products in bfloat16 differ between equally right layouts by more than wrong ones would.
    """
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(precision)


def attention_window(model: nn.Module) -> int | None:
    """Return the smallest attention window of any layer in tokens, or None without a limit."""
    config = model.config.get_text_config()  # type: ignore[union-attr, operator]
    sizes = [getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size")]
    return min((size for size in sizes if size), default=None)
