"""The fused CPU attention as torch operators with gradients, and as a backend.

`cpu/kernel.cpp` holds the computation; `kernel_call` calls its functions.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from infinito.attention.backends.backend import Backend, Request
from infinito.attention.backends.kernel_call import fault, run_kernel
from infinito.attention.derivatives import second_derivative_error

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
"""Dtypes of its inputs; it computes in float32."""

SMALL_WORK = 2**20
"""Multiplications that take as long as torch needs to call an operator from Python."""


@torch.library.custom_op("infinito::fused_cpu", mutates_args=(), device_types="cpu")
def fused_attention(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    kernel: str,
    causal: bool,
    factor: float,
    p: float | None,
    padding: Tensor | None,
    dropout_p: float,
    seed: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Return the output, and of each row's softmax the reference (in bits) and the sum.

    Args:
        queries: float32 (batch, heads, time_q, dim).
        keys: float32 (batch, kv_heads, time_k, dim).
        values: float32 (batch, kv_heads, time_k, value_dim).
        kernel: a name in `kernel_call.KERNELS`.
        causal: query i sees key j when j <= i + time_k − time_q.
        factor: what scores are multiplied with.
        p: exponent of kernel "lp".
        padding: bool (batch, time_k), True for a real token.
        dropout_p: probability with which a weight is dropped.
        seed: int64 (), what decides which.

    Returns:
        (batch, heads, time_q, value_dim) and (batch, heads, time_q, 2).
    """
    queries, keys, values = _rows(queries), _rows(keys), _rows(values)
    out, softmax = _new_results(queries, values)
    run_kernel(
        "forward",
        _named(padding, queries=queries, keys=keys, values=values, out=out, softmax=softmax),
        kernel=kernel,
        causal=causal,
        factor=factor,
        p=p,
        dropout_p=dropout_p,
        seed=seed,
    )
    return out, softmax


@torch.library.custom_op("infinito::fused_cpu_backward", mutates_args=(), device_types="cpu")
def fused_attention_backward(
    grad_out: Tensor,
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    out: Tensor,
    softmax: Tensor,
    kernel: str,
    causal: bool,
    factor: float,
    p: float | None,
    padding: Tensor | None,
    dropout_p: float,
    seed: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of queries, keys and values; arguments as in `fused_attention`."""
    queries, keys, values, grad_out = map(_rows, (queries, keys, values, grad_out))
    grads = _new_gradients(queries, keys, values)
    tensors = _named(
        padding,
        queries=queries,
        keys=keys,
        values=values,
        out=out,
        softmax=softmax,
        grad_out=grad_out,
        grad_queries=grads[0],
        grad_keys=grads[1],
        grad_values=grads[2],
    )
    run_kernel(
        "backward",
        tensors,
        kernel=kernel,
        causal=causal,
        factor=factor,
        p=p,
        dropout_p=dropout_p,
        seed=seed,
    )
    return grads


@fused_attention.register_fake
def _(queries: Tensor, _keys: Tensor, values: Tensor, *_: object) -> tuple[Tensor, Tensor]:
    return _new_results(queries, values)


@fused_attention_backward.register_fake
def _(
    _grad_out: Tensor, queries: Tensor, keys: Tensor, values: Tensor, *_: object
) -> tuple[Tensor, Tensor, Tensor]:
    return _new_gradients(queries, keys, values)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    queries, keys, values, kernel, causal, factor, p, padding, dropout_p, seed = inputs
    ctx.save_for_backward(queries, keys, values, *output, padding, seed)
    ctx.options = kernel, causal, factor, p, dropout_p


def _differentiate(ctx: Any, grad_out: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    *tensors, padding, seed = ctx.saved_tensors
    kernel, causal, factor, p, dropout_p = ctx.options
    grads = fused_attention_backward(
        grad_out, *tensors, kernel, causal, factor, p, padding, dropout_p, seed
    )
    return *grads, *[None] * 7


def _refuse(*_: Any) -> None:
    raise second_derivative_error()


torch.library.register_autograd("infinito::fused_cpu", _differentiate, setup_context=_save)
torch.library.register_autograd("infinito::fused_cpu_backward", _refuse)


def _rows(tensor: Tensor) -> Tensor:
    return tensor if tensor.stride(-1) == 1 else tensor.contiguous()


def _named(padding: Tensor | None, **tensors: Tensor) -> dict[str, Tensor]:
    return tensors if padding is None else {**tensors, "padding": padding.contiguous()}


def _new_results(queries: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Return an output whose heads lie side by side, so that merging them is free, and softmax."""
    batch, heads, time, _ = queries.shape
    out = queries.new_empty(batch, time, heads, values.shape[-1]).transpose(1, 2)
    return out, queries.new_empty(batch, heads, time, 2)


def _new_gradients(queries: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    # Rows again: of a view whose rows overlap, torch may make one with time innermost.
    return (
        _rows(torch.empty_like(_rows(queries))),
        _rows(torch.empty_like(_rows(keys))),
        _rows(torch.empty_like(_rows(values))),
    )


def _attend(
    queries: Tensor, keys: Tensor, values: Tensor, request: Request, padding: Tensor | None
) -> Tensor:
    out: Tensor
    out, _ = fused_attention(
        queries.float(),
        keys.float(),
        values.float(),
        request.kernel,
        request.causal,
        request.factor,
        request.p,
        padding,
        request.dropout_p,
        torch.randint(2**62, ()) if request.dropout_p else None,
    )
    return out.to(values.dtype)


def _unable(request: Request) -> str | None:
    if request.device != "cpu":
        return f"it runs on a CPU, not on {request.device}"
    if request.dtype not in DTYPES:
        return f"it computes in float32, less than {request.dtype}"
    reason: str | None = fault()
    return reason


def _unwise(request: Request) -> str | None:
    work = request.batch * request.heads * request.time_q * request.time_k * request.dim
    if request.kernel == "dot" and request.dtype == torch.float32 and work < SMALL_WORK:
        return "torch's own dot-product attention takes less time to call"
    return None


BACKEND = Backend("fused_cpu", _attend, _unable, _unwise)
