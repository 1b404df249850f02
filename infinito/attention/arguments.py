"""The checks of what an attention call receives; each raises before any number is computed."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch._C._functorch import get_interpreter_stack

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def check_tensors(queries: Tensor, keys: Tensor, values: Tensor) -> None:
    """Raise unless these tensors make one attention.

    Raises:
        ValueError: shapes that do not fit together.
        TypeError: numbers that are not floating point.
    """
    if not _fit(queries, keys, values):
        raise ValueError(
            f"queries {tuple(queries.shape)}, keys {tuple(keys.shape)} and values "
            f"{tuple(values.shape)} do not fit: expected (batch, heads, time_q, dim), "
            "(batch, kv_heads, time_k, dim), (batch, kv_heads, time_k, value_dim), kv_heads "
            "dividing heads, time_k and dim at least 1."
        )
    if not (queries.dtype in DTYPES and keys.dtype in DTYPES and values.dtype in DTYPES):
        raise TypeError(
            f"queries of {queries.dtype}, keys of {keys.dtype} and values of {values.dtype}: "
            "expected torch.float32, float64, bfloat16 or float16. Convert them, e.g. "
            "`queries.float()`."
        )


def _fit(queries: Tensor, keys: Tensor, values: Tensor) -> bool:
    if not queries.ndim == keys.ndim == values.ndim == 4:
        return False
    batch, heads, _, dim = queries.shape
    kv_heads, time_k = keys.shape[1:3]
    divides = kv_heads > 0 and heads % kv_heads == 0
    alike = keys.shape == (batch, kv_heads, time_k, dim) and values.shape[:3] == keys.shape[:3]
    return divides and time_k > 0 and dim > 0 and alike


def check_mask(mask: Tensor, batch: int, heads: int, time_q: int, time_k: int) -> None:
    """Raise ValueError unless this is a bool padding (batch, time_k) or free mask of four axes."""
    fits = mask.shape == (batch, time_k) or (
        mask.ndim == 4
        and mask.shape[0] in (1, batch)
        and mask.shape[1] in (1, heads)
        and mask.shape[2:] == (time_q, time_k)
    )
    if not fits or mask.dtype != torch.bool:
        raise ValueError(
            f"a mask {tuple(mask.shape)} of {mask.dtype} does not fit: expected torch.bool "
            f"{(batch, time_k)}, or {(batch, heads, time_q, time_k)} with 1 for batch or heads."
        )


def check_dropout(dropout_p: float) -> None:
    """Raise ValueError unless this is a probability below 1."""
    if not 0 <= dropout_p < 1:
        raise ValueError(f"dropout_p={dropout_p}: expected a number at least 0 and below 1.")


def check_factor(factor: float, scale: float | Tensor) -> None:
    """Raise ValueError unless float32, in which kernels compute, holds what λ makes of a score."""
    limits = torch.finfo(torch.float32)
    if not limits.tiny <= factor <= limits.max:
        raise ValueError(
            f"scale={scale}: scores would be multiplied by {factor:.3g}, which is 0 or infinite in "
            "float32. Choose a λ nearer to 1, e.g. scale=1.0."
        )


def check_scale(scale: float | Tensor, heads: int) -> None:
    """Raise ValueError unless λ is finite, above 0, and one number or one for each head.

    The numbers of a tensor are read on a CPU only: elsewhere, reading them waits for the device.
    """
    if not isinstance(scale, Tensor):
        if not 0 < scale < math.inf:
            raise ValueError(f"scale={scale}: λ must be finite and above 0, e.g. scale=1.0.")
        return
    if scale.numel() not in (1, heads):
        raise ValueError(
            f"a scale {tuple(scale.shape)} does not fit: expected ({heads},), one number for "
            "each head, or (1,)."
        )
    if torch.compiler.is_compiling() or not scale.is_cpu or get_interpreter_stack():
        return
    if not ((scale > 0) & (scale < math.inf)).all():
        raise ValueError(
            f"scale={scale.detach().flatten().tolist()}: each λ must be finite and above 0, e.g. "
            "the softplus of a parameter."
        )
