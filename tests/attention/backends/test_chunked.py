"""Attention in blocks against the slow reference in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from infinito.attention.backends import chunked
from infinito.attention.backends.backend import Request
from infinito.attention.backends.chunked import BACKEND, block_rows
from infinito.attention.reference import attend_with_weights

KERNELS = ("dot", "l1", "l2", "sq_l2", "linf", "lp")


def request_for(kernel, queries, keys, values, **options) -> Request:
    batch, heads, time_q, dim = queries.shape
    return Request(
        kernel=kernel,
        p=3.0 if kernel == "lp" else None,
        dtype=queries.dtype,
        batch=batch,
        heads=heads,
        kv_heads=keys.shape[1],
        time_q=time_q,
        time_k=keys.shape[2],
        dim=dim,
        value_dim=values.shape[-1],
        factor=0.4,
        **options,
    )


def draw(
    time_q=37, time_k=37, dim=4, value_dim=6, heads=4, kv_heads=2
) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(time_q)
    shapes = ((heads, time_q, dim), (kv_heads, time_k, dim), (kv_heads, time_k, value_dim))
    queries, keys, values = (
        torch.randn(2, *shape, dtype=torch.float64, requires_grad=True) for shape in shapes
    )
    return queries, keys, values


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    ("time_q", "time_k", "causal", "mask"),
    [
        (37, 37, True, None),
        (37, 37, False, "padding"),
        (37, 37, True, "padding"),
        (37, 37, False, "free"),
        (3, 50, True, None),
        (20, 9, True, None),
    ],
)
def test_output_and_gradients_are_those_of_the_reference(kernel, time_q, time_k, causal, mask):
    tensors = draw(time_q, time_k)
    allowed = None
    if mask is not None:
        shape = (2, time_k) if mask == "padding" else (1, 4, time_q, time_k)
        allowed = torch.rand(shape) < 0.8
    options = {"causal": causal, "padding": mask == "padding", "free_mask": mask == "free"}
    request = request_for(kernel, *tensors, **options)
    assert block_rows(request) < 37, "several blocks are meant"
    found = BACKEND.attend(*tensors, request, allowed)
    wanted, _ = attend_with_weights(*tensors, request, allowed)
    torch.testing.assert_close(found, wanted)
    slope = torch.randn_like(wanted)
    torch.testing.assert_close(
        torch.autograd.grad(found, tensors, slope), torch.autograd.grad(wanted, tensors, slope)
    )


@pytest.mark.parametrize("kernel", ["l1", "linf"])
def test_without_gradients_nothing_is_recomputed(kernel):
    tensors = draw()
    request = request_for(kernel, *tensors, grad=False)
    with torch.no_grad():
        found = BACKEND.attend(*tensors, request, None)
    assert torch.equal(found, BACKEND.attend(*tensors, request._replace(grad=True), None))


def test_dropout_is_the_same_when_recomputed():
    """With the identity for values, the output and its gradient show which weights were kept."""
    queries, keys, _ = draw(20, 20, heads=2)
    values = torch.eye(20, dtype=torch.float64).expand(2, 2, 20, 20).clone().requires_grad_()
    request = request_for("l1", queries, keys, values, dropout_p=0.5)
    torch.manual_seed(0)
    out = BACKEND.attend(queries, keys, values, request, None)
    (grad,) = torch.autograd.grad(out.sum(), values)
    torch.testing.assert_close(grad[..., 0], out.sum(-2))
    assert 0.3 < (out.tril() != 0).double().mean() / 0.525 < 0.7


def test_later_tokens_leave_earlier_outputs_bit_equal():
    queries, keys, values = (tensor.detach() for tensor in draw())
    request = request_for("l1", queries, keys, values)
    before = BACKEND.attend(queries, keys, values, request, None)
    for tensor in (queries, keys, values):
        tensor[:, :, 30] = 5.0
    after = BACKEND.attend(queries, keys, values, request, None)
    assert torch.equal(before[:, :, :30], after[:, :, :30])
    assert not torch.equal(before[:, :, 30:], after[:, :, 30:])


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("time", [64, 512, 4096])
def test_no_block_is_much_larger_than_the_queries(kernel, time):
    request = Request(kernel, batch=4, heads=8, kv_heads=8, time_q=time, time_k=time)
    per_row = time * (64 if kernel in ("linf", "lp") else 32)
    assert block_rows(request) * per_row <= 4 * 8 * time * 64


def test_blocks_are_of_four_queries_at_least():
    assert block_rows(Request("linf", time_q=1, time_k=9000)) == chunked.LEAST_ROWS
