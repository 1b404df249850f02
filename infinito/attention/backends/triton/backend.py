"""The Triton attention as a backend; triton itself is imported when it first serves."""

from __future__ import annotations

from importlib.util import find_spec

import torch
from torch import Tensor

from infinito.attention.backends.backend import Backend, Request

KERNELS = ("l1", "l2")
DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def _attend(
    queries: Tensor, keys: Tensor, values: Tensor, request: Request, padding: Tensor | None
) -> Tensor:
    from infinito.attention.backends.triton.operators import triton_attention

    kernel, causal, factor = request.kernel, request.causal, request.factor
    out: Tensor = triton_attention(queries, keys, values, kernel, causal, factor, padding)[0]
    return out


def _unable(request: Request) -> str | None:
    if request.device != "cuda":
        return f"it runs on CUDA, not on {request.device}"
    if request.kernel not in KERNELS:
        return f"it has {' and '.join(KERNELS)}, not {request.kernel}"
    if request.dtype not in DTYPES:
        return f"it computes in float32, less than {request.dtype}"
    if request.dropout_p:
        return "it has no dropout"
    return None if find_spec("triton") else "triton is not installed"


def _unwise(_: Request) -> str | None:
    return "it is tested in an interpreter and was never timed on a GPU: choose it by name"


BACKEND = Backend("triton", _attend, _unable, _unwise)
