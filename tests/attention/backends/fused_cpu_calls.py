"""Calls of the fused CPU kernel and of the slow reference in float64, with their gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from infinito.attention.backends.backend import Request
from infinito.attention.backends.fused_cpu import BACKEND
from infinito.attention.reference import attend_with_weights

OUTPUT_TOLERANCE = 2e-5
GRADIENT_TOLERANCE = 1e-4


def request_for(kernel: str, queries: Tensor, keys: Tensor, values: Tensor, **options) -> Request:
    batch, heads, time_q, dim = queries.shape
    return Request(
        kernel=kernel,
        batch=batch,
        heads=heads,
        kv_heads=keys.shape[1],
        time_q=time_q,
        time_k=keys.shape[2],
        dim=dim,
        value_dim=values.shape[-1],
        **{"p": 1.5 if kernel == "lp" else None, **options},
    )


def draw(
    time_q: int, time_k: int, dim: int, *, batch: int = 2, heads: int = 2, kv_heads: int = 2
) -> list[Tensor]:
    generator = torch.Generator().manual_seed(time_q * 1000 + dim)
    shapes = ((heads, time_q), (kv_heads, time_k), (kv_heads, time_k))
    return [torch.randn(batch, *shape, dim, generator=generator) for shape in shapes]


def attend(tensors: Sequence[Tensor], request: Request, real: Tensor | None = None) -> Tensor:
    queries, keys, values = tensors
    return BACKEND.attend(queries, keys, values, request, real)


def attend_slowly(
    tensors: Sequence[Tensor], request: Request, real: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    queries, keys, values = tensors
    return attend_with_weights(queries, keys, values, request, real)


def with_gradients(
    tensors: list[Tensor], kernel: str, real: Tensor | None = None, **options: Any
) -> list[Tensor]:
    """The kernel's output and the three gradients of a fixed random projection of it."""
    leaves = [tensor.detach().requires_grad_() for tensor in tensors]
    request = request_for(kernel, *leaves, padding=real is not None, **options)
    out = attend(leaves, request, real)
    return [out.detach(), *torch.autograd.grad(out, leaves, make_upstream(out))]


def expected(
    tensors: list[Tensor], kernel: str, real: Tensor | None = None, **options: Any
) -> list[Tensor]:
    leaves = [tensor.detach().double().requires_grad_() for tensor in tensors]
    request = request_for(kernel, *leaves, padding=real is not None, **options)
    out = attend_slowly(leaves, request, real)[0]
    return [out.detach(), *torch.autograd.grad(out, leaves, make_upstream(out))]


def make_upstream(out: Tensor) -> Tensor:
    count = out.numel()
    return torch.linspace(-1, 1, count, dtype=out.dtype).mul(17).sin().view(out.shape)


def assert_close(found: list[Tensor], wanted: list[Tensor], output: float = OUTPUT_TOLERANCE):
    assert (found[0] - wanted[0]).abs().max() <= output
    for mine, theirs in zip(found[1:], wanted[1:], strict=True):
        # A softmax over one key has no gradient at all: what rounding leaves is measured by 0.1.
        assert (mine - theirs).abs().max() <= GRADIENT_TOLERANCE * theirs.abs().max().clamp_min(0.1)
