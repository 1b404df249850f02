"""Triton attention as torch operators with gradients."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from infinito.attention.backends.triton import kernels
from infinito.attention.derivatives import second_derivative_error

ROWS, COLS, WARPS = 128, 32, 8
"""A program's own tokens, those that it walks along at a time, and its warps.

With heads of 64 features nothing spills on sm_90; with 4 warps, or 64 by 64 tokens, something does.
"""


@torch.library.custom_op("infinito::triton", mutates_args=())
def triton_attention(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    kernel: str,
    causal: bool,
    factor: float,
    padding: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Return the output, and of each row log₂ Σ exp(score).

    Args:
        queries: (batch, heads, time_q, dim), float32 or half.
        keys: (batch, kv_heads, time_k, dim).
        values: (batch, kv_heads, time_k, value_dim).
        kernel: "l1" or "l2".
        causal: query i sees key j when j <= i + time_k − time_q.
        factor: what scores are multiplied with.
        padding: bool (batch, time_k), True for a real token.

    Returns:
        (batch, heads, time_q, value_dim) and float32 (batch, heads, time_q).
    """
    out, log_sums = _new_results(queries, values)
    arguments = [_turned(queries), _turned(keys), values.contiguous(), _marks(padding, keys)]
    _launch(
        kernels.forward,
        queries.shape[:3],
        [*arguments, out, log_sums],
        (queries, keys, values, kernel, causal, factor, padding),
    )
    return out, log_sums


@torch.library.custom_op("infinito::triton_backward", mutates_args=())
def triton_attention_backward(
    grad_out: Tensor,
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    out: Tensor,
    log_sums: Tensor,
    kernel: str,
    causal: bool,
    factor: float,
    padding: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of queries, keys and values; arguments as in `triton_attention`."""
    turned_queries, turned_keys = _turned(queries), _turned(keys)
    values, grad_out = values.contiguous(), grad_out.contiguous()
    deltas = (out.float() * grad_out.float()).sum(-1)
    grad_queries = torch.zeros_like(turned_queries, dtype=torch.float32)
    grad_keys = torch.zeros_like(turned_keys, dtype=torch.float32)
    grad_values = torch.empty_like(values)
    known = [turned_queries, turned_keys, values, _marks(padding, keys), grad_out, log_sums, deltas]
    call = (queries, keys, values, kernel, causal, factor, padding)
    _launch(kernels.backward_queries, queries.shape[:3], [*known, grad_queries], call)
    _launch(kernels.backward_keys, keys.shape[:3], [*known, grad_keys, grad_values], call)
    return (
        _turned(grad_queries.to(queries.dtype)),
        _turned(grad_keys.to(keys.dtype)),
        grad_values,
    )


@triton_attention.register_fake
def _(queries: Tensor, _keys: Tensor, values: Tensor, *_: object) -> tuple[Tensor, Tensor]:
    return _new_results(queries, values)


@triton_attention_backward.register_fake
def _(
    _grad_out: Tensor, queries: Tensor, keys: Tensor, values: Tensor, *_: object
) -> tuple[Tensor, ...]:
    return tuple(each.new_empty(each.shape) for each in (queries, keys, values))


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    queries, keys, values, kernel, causal, factor, padding = inputs
    ctx.save_for_backward(queries, keys, values, *output, padding)
    ctx.options = kernel, causal, factor


def _differentiate(ctx: Any, grad_out: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    *tensors, padding = ctx.saved_tensors
    grads = triton_attention_backward(grad_out, *tensors, *ctx.options, padding)
    return *grads, *[None] * 4


def _refuse(*_: Any) -> None:
    raise second_derivative_error()


torch.library.register_autograd("infinito::triton", _differentiate, setup_context=_save)
torch.library.register_autograd("infinito::triton_backward", _refuse)


def _turned(tensor: Tensor) -> Tensor:
    """Return the last two axes exchanged, in memory too."""
    return tensor.transpose(-1, -2).contiguous()


def _marks(padding: Tensor | None, keys: Tensor) -> Tensor:
    """Return 1 for each real token, or any tensor where the kernels read none."""
    return keys if padding is None else padding.to(torch.int8).contiguous()


def _new_results(queries: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    out = values.new_empty(*queries.shape[:3], values.shape[-1])
    return out, queries.new_empty(queries.shape[:3], dtype=torch.float32)


def _launch(
    function: Any,
    owned: tuple[int, ...],
    tensors: list[Tensor],
    call: tuple[Tensor, Tensor, Tensor, str, bool, float, Tensor | None],
) -> None:
    """Run a kernel in which each program owns ROWS of the tokens `owned` (batch, heads, time)."""
    queries, keys, values, kernel, causal, factor, padding = call
    batch, heads, time = owned
    width = values.shape[-1]
    function[(-(-time // ROWS), batch * heads)](
        *tensors,
        factor,
        factor / math.log(2),
        queries.shape[1],
        queries.shape[1] // keys.shape[1],
        queries.shape[2],
        keys.shape[2],
        DIM=queries.shape[-1],
        WIDTH=width,
        WIDE=max(16, 1 << (width - 1).bit_length()),
        ROWS=ROWS,
        COLS=COLS,
        CAUSAL=causal,
        PADDED=padding is not None,
        L1=kernel == "l1",
        num_warps=WARPS,
    )
