"""The fused CPU attention as torch operators with gradients, and as a backend.

The kernel itself is `cpu/kernel.cpp`; compiling and loading it is in `kernel_build`.
"""

from __future__ import annotations

import ctypes
import functools
import warnings

import torch
from torch import Tensor

from infinito.attention.backend import Backend, Request
from infinito.attention.kernel_build import load_kernel
from infinito.errors import DeviceError
from infinito.paths import cache_dir

KERNELS = ("dot", "l1", "l2", "sq_l2")
DTYPES = (torch.float32, torch.bfloat16, torch.float16)


class _View(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("strides", ctypes.c_int64 * 3))


_VIEWS = (
    "queries",
    "keys",
    "values",
    "out",
    "grad_out",
    "grad_queries",
    "grad_keys",
    "grad_values",
)
_SIZES = ("batch", "heads", "kv_heads", "time_q", "time_k", "dim", "value_dim")


class _Call(ctypes.Structure):
    """The struct `Call` of `cpu/call.h`, field by field."""

    _fields_ = (
        *((name, _View) for name in _VIEWS),
        ("softmax", ctypes.c_void_p),
        ("statistics", ctypes.c_void_p),
        ("padding", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in _SIZES),
        ("kernel", ctypes.c_int64),
        ("causal", ctypes.c_int64),
        ("threads", ctypes.c_int64),
        ("seed", ctypes.c_uint64),
        ("dropout_p", ctypes.c_double),
        ("factor", ctypes.c_double),
    )


@functools.cache
def _load() -> ctypes.CDLL | DeviceError:
    try:
        return load_kernel(cache_dir() / "kernels")
    except DeviceError as error:
        warnings.warn(f"attention backend fused_cpu is off: {error}.", stacklevel=2)
        return error


@torch.compiler.assume_constant_result
def fault() -> str | None:
    """Return why the kernel cannot be had here, or None; the first call may compile it."""
    loaded = _load()
    return str(loaded) if isinstance(loaded, DeviceError) else None


def _rows(tensor: Tensor) -> Tensor:
    return tensor if tensor.stride(-1) == 1 else tensor.contiguous()


def _run(name: str, call: _Call) -> None:
    kernel = _load()
    if isinstance(kernel, DeviceError):
        raise kernel
    if getattr(kernel, name)(ctypes.addressof(call)):
        raise MemoryError("fused_cpu attention ran out of memory")


def _describe(
    tensors: dict[str, Tensor],
    kernel: str,
    causal: bool,
    factor: float,
    key_padding: Tensor | None,
    dropout_p: float,
    seed: Tensor | None,
) -> _Call:
    batch, heads, time_q, dim = tensors["queries"].shape
    _, kv_heads, time_k, value_dim = tensors["values"].shape
    call = _Call(
        softmax=tensors["softmax"].data_ptr(),
        statistics=tensors["statistics"].data_ptr() if "statistics" in tensors else None,
        padding=None if key_padding is None else key_padding.data_ptr(),
        batch=batch,
        heads=heads,
        kv_heads=kv_heads,
        time_q=time_q,
        time_k=time_k,
        dim=dim,
        value_dim=value_dim,
        kernel=KERNELS.index(kernel),
        causal=causal,
        threads=torch.get_num_threads(),
        seed=0 if seed is None else int(seed),
        dropout_p=dropout_p,
        factor=factor,
    )
    for name in _VIEWS:
        if name in tensors:
            view = getattr(call, name)
            view.data = tensors[name].data_ptr()
            view.strides[:] = tensors[name].stride()[:3]
    return call


def _new_outputs(queries: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Return an output whose heads lie side by side, so that merging them is free, and softmax."""
    batch, heads, time, _ = queries.shape
    out = queries.new_empty(batch, time, heads, values.shape[-1]).transpose(1, 2)
    return out, queries.new_empty(batch, heads, time, 2)


@torch.library.custom_op("infinito::fused_cpu", mutates_args=(), device_types="cpu")
def _forward(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    kernel: str,
    causal: bool,
    factor: float,
    key_padding: Tensor | None,
    dropout_p: float,
    seed: Tensor | None,
) -> tuple[Tensor, Tensor]:
    queries, keys, values = _rows(queries), _rows(keys), _rows(values)
    out, softmax = _new_outputs(queries, values)
    tensors = {"queries": queries, "keys": keys, "values": values, "out": out, "softmax": softmax}
    call = _describe(tensors, kernel, causal, factor, key_padding, dropout_p, seed)
    _run("infinito_attention_forward", call)
    return out, softmax


@_forward.register_fake
def _(
    queries: Tensor,
    keys: Tensor,  # noqa: ARG001
    values: Tensor,
    *_: object,
) -> tuple[Tensor, Tensor]:
    return _new_outputs(queries, values)


@torch.library.custom_op("infinito::fused_cpu_backward", mutates_args=(), device_types="cpu")
def _backward(
    grad_out: Tensor,
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    out: Tensor,
    softmax: Tensor,
    kernel: str,
    causal: bool,
    factor: float,
    key_padding: Tensor | None,
    dropout_p: float,
    seed: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    queries, keys, values, grad_out = map(_rows, (queries, keys, values, grad_out))
    tensors = {
        "queries": queries,
        "keys": keys,
        "values": values,
        "out": out,
        "softmax": softmax,
        "grad_out": grad_out,
        "grad_queries": torch.empty_like(queries),
        "grad_keys": torch.empty_like(keys),
        "grad_values": torch.empty_like(values),
    }
    call = _describe(tensors, kernel, causal, factor, key_padding, dropout_p, seed)
    _run("infinito_attention_backward", call)
    return tensors["grad_queries"], tensors["grad_keys"], tensors["grad_values"]


@_backward.register_fake
def _(
    _grad: Tensor, queries: Tensor, keys: Tensor, values: Tensor, *_: object
) -> tuple[Tensor, ...]:
    return tuple(torch.empty_like(_rows(tensor)) for tensor in (queries, keys, values))


def _save(ctx, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:  # type: ignore[no-untyped-def]
    queries, keys, values, kernel, causal, factor, key_padding, dropout_p, seed = inputs
    ctx.save_for_backward(queries, keys, values, *output, key_padding, seed)
    ctx.options = kernel, causal, factor, dropout_p


def _differentiate(ctx, grad_out: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[no-untyped-def]
    *tensors, key_padding, seed = ctx.saved_tensors
    kernel, causal, factor, dropout_p = ctx.options
    grads = _backward(grad_out, *tensors, kernel, causal, factor, key_padding, dropout_p, seed)
    return *grads, *[None] * 6


torch.library.register_autograd("infinito::fused_cpu", _differentiate, setup_context=_save)


def _attend(
    queries: Tensor, keys: Tensor, values: Tensor, request: Request, key_padding: Tensor | None
) -> Tensor:
    dtype = values.dtype
    queries, keys, values = queries.float(), keys.float(), values.float()
    seed = None
    if request.dropout_p:
        seed = torch.randint(2**62, ())
    if key_padding is not None:
        key_padding = key_padding.contiguous()
    out, _ = _forward(
        queries,
        keys,
        values,
        request.kernel,
        request.causal,
        request.factor,
        key_padding,
        request.dropout_p,
        seed,
    )
    return out.to(dtype)


def _unable(request: Request) -> str | None:
    if request.device != "cpu":
        return f"it runs on a CPU, not on {request.device}"
    if request.kernel not in KERNELS:
        return f"it has {', '.join(KERNELS)}, not {request.kernel}"
    if request.dtype not in DTYPES:
        return f"it computes in float32, less than {request.dtype}"
    return fault()


BACKEND = Backend("fused_cpu", _attend, _unable, takes_factor=True)
