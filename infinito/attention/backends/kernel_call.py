"""Calls the compiled CPU kernel on torch tensors: its argument struct, and one load per process.

Compiling is in `kernel_build`; the operators made of these calls are in `fused_cpu`.
"""

from __future__ import annotations

import ctypes
import functools
import logging

import torch
from torch import Tensor

from infinito.attention.backends.kernel_build import load_kernel
from infinito.errors import DeviceError
from infinito.paths import cache_dir

KERNELS = ("dot", "l1", "l2", "sq_l2", "linf", "lp")
"""In the order of the enumeration `Kernel` of `cpu/call.h`."""

VIEWS = (
    "queries",
    "keys",
    "values",
    "out",
    "grad_out",
    "grad_queries",
    "grad_keys",
    "grad_values",
)
"""Tensors (batch, heads, time, dim) that may have any strides but 1 for dim."""

_ARRAYS = ("softmax", "statistics", "padding")
_SIZES = ("batch", "heads", "kv_heads", "time_q", "time_k", "dim", "value_dim")
_OPTIONS = ("kernel", "causal", "threads")

_log = logging.getLogger(__name__)


class _View(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("strides", ctypes.c_int64 * 3))


class _Call(ctypes.Structure):
    """The struct `Call` of `cpu/call.h`, field by field."""

    _fields_ = (
        *((name, _View) for name in VIEWS),
        *((name, ctypes.c_void_p) for name in _ARRAYS),
        *((name, ctypes.c_int64) for name in (*_SIZES, *_OPTIONS)),
        ("seed", ctypes.c_uint64),
        ("dropout_p", ctypes.c_double),
        ("factor", ctypes.c_double),
        ("p", ctypes.c_double),
    )


@torch.compiler.assume_constant_result
def fault() -> str | None:
    """Return why the kernel cannot be had here, or None; the first call may compile it."""
    loaded = _load()
    return str(loaded) if isinstance(loaded, DeviceError) else None


def run_kernel(
    name: str,
    tensors: dict[str, Tensor],
    *,
    kernel: str,
    causal: bool,
    factor: float,
    p: float | None = None,
    dropout_p: float = 0.0,
    seed: Tensor | None = None,
) -> None:
    """Run one function of the kernel, which writes to the tensors that are its results.

    Args:
        name: "forward" or "backward".
        tensors: float32, by the names of `VIEWS` and `cpu/call.h`; padding is bool.

    Raises:
        DeviceError: there is no kernel on this machine.
        MemoryError: its working memory could not be had.
    """
    loaded = _load()
    if isinstance(loaded, DeviceError):
        raise loaded
    call = _Call(
        kernel=KERNELS.index(kernel),
        causal=causal,
        threads=torch.get_num_threads(),
        seed=0 if seed is None else int(seed),
        dropout_p=dropout_p,
        factor=factor,
        p=0.0 if p is None else p,
    )
    call.batch, call.heads, call.time_q, call.dim = tensors["queries"].shape
    _, call.kv_heads, call.time_k, call.value_dim = tensors["values"].shape
    for label, tensor in tensors.items():
        if label in _ARRAYS:
            setattr(call, label, tensor.data_ptr())
        else:
            view = getattr(call, label)
            view.data = tensor.data_ptr()
            view.strides[:] = tensor.stride()[:3]
    function = getattr(loaded, f"infinito_attention_{name}")
    if function(ctypes.addressof(call)):
        raise MemoryError("the fused CPU attention ran out of memory")


@functools.cache
def _load() -> ctypes.CDLL | DeviceError:
    try:
        return load_kernel(cache_dir() / "kernels")
    except DeviceError as error:
        _log.warning("attention backend fused_cpu is off: %s.", error)
        return error
