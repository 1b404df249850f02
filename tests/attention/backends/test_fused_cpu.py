"""The fused CPU kernel against the slow reference in float64, and its traps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from infinito.attention import distance_attention
from infinito.attention.backends import fused_cpu
from infinito.attention.backends.backend import Request
from infinito.attention.backends.fused_cpu import BACKEND
from infinito.attention.backends.kernel_call import KERNELS, fault
from infinito.errors import ConfigError
from tests.attention.backends.fused_cpu_calls import (
    assert_close,
    attend,
    attend_slowly,
    draw,
    expected,
    make_upstream,
    request_for,
    with_gradients,
)

pytestmark = pytest.mark.skipif(fault() is not None, reason="the kernel cannot be compiled here")


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(
    ("time", "dim"),
    [(1, 64), (2, 8), (15, 16), (16, 48), (17, 64), (63, 80), (64, 128), (65, 64), (130, 16)],
)
def test_output_and_gradients_are_those_of_the_reference(kernel, causal, time, dim):
    tensors = draw(time, time, dim)
    options = {"causal": causal, "factor": dim**-0.5}
    assert_close(with_gradients(tensors, kernel, **options), expected(tensors, kernel, **options))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    ("time_q", "time_k", "dim"),
    [(257, 257, 64), (5, 130, 64), (40, 9, 5), (2, 130, 40), (1, 257, 64)],
)
def test_more_keys_than_queries_and_fewer(kernel, time_q, time_k, dim):
    """Causality is aligned bottom-right; a query before the first key sees none and returns 0."""
    tensors = draw(time_q, time_k, dim, batch=1)
    options = {"factor": dim**-0.5}
    found = with_gradients(tensors, kernel, **options)
    assert_close(found, expected(tensors, kernel, **options))
    if time_q > time_k:
        assert not found[0][:, :, : time_q - time_k].any()


@pytest.mark.parametrize("kernel", KERNELS)
def test_strided_views_and_gradients_are_served(kernel):
    """The views that models make: heads split off the last axis, and a gradient merged back."""
    base = [torch.randn(2, 33, 3 * 16) for _ in range(3)]
    views = [tensor.view(2, 33, 3, 16).transpose(1, 2) for tensor in base]
    views[2] = views[2].flip(-1).transpose(-1, -2).contiguous().transpose(-1, -2)
    copies = [view.clone(memory_format=torch.contiguous_format) for view in views]
    for mine, theirs in zip(
        with_gradients(views, kernel), with_gradients(copies, kernel), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)
    leaves = [view.detach().requires_grad_() for view in views]
    out = attend(leaves, request_for(kernel, *leaves))
    broadcast = torch.autograd.grad(out.sum(), leaves, retain_graph=True)
    whole = torch.autograd.grad(out, leaves, torch.ones_like(out))
    assert all(map(torch.equal, broadcast, whole))


def test_rows_that_overlap_have_their_gradients():
    """Windows of one series: 5 rows of 8 features, each one step on from the row before."""
    windows = [torch.randn(2, 2, 12).unfold(-1, 8, 1) for _ in range(3)]
    copies = [each.clone(memory_format=torch.contiguous_format) for each in windows]
    assert windows[0].stride()[2:] == (1, 1)
    found, wanted = with_gradients(windows, "l1"), with_gradients(copies, "l1")
    assert all(map(torch.equal, found, wanted))


@pytest.mark.parametrize("kernel", KERNELS)
def test_heads_that_share_keys(kernel):
    tensors = draw(70, 70, 16, heads=6, kv_heads=2)
    options: dict[str, Any] = {"factor": 0.25}
    assert_close(with_gradients(tensors, kernel, **options), expected(tensors, kernel, **options))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("side", ["left", "right", "everything"])
def test_padding(kernel, side):
    tensors = draw(70, 70, 16)
    hidden = {"left": slice(0, 66), "right": slice(30, None), "everything": slice(None)}[side]
    real = torch.ones(2, 70, dtype=torch.bool)
    real[0, hidden] = False
    found = with_gradients(tensors, kernel, real)
    assert_close(found, expected(tensors, kernel, real))
    assert all(torch.isfinite(tensor).all() for tensor in found)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("rounding", ["zeros", "bfloat16"])
def test_ties_have_the_gradient_of_sign_zero(kernel, rounding):
    """Equal coordinates of query and key: sign(0) = 0, and ‖0‖₂ has the subgradient 0."""
    tensors = draw(65, 65, 64)
    if rounding == "zeros":
        tensors = [torch.zeros(2, 2, 65, 64), torch.zeros(2, 2, 65, 64), tensors[2]]
    else:
        tensors = [tensor.bfloat16().float() for tensor in tensors]
        assert (tensors[0].unsqueeze(3) == tensors[1].unsqueeze(2)).any()
    options: dict[str, Any] = {"factor": 0.125}
    assert_close(with_gradients(tensors, kernel, **options), expected(tensors, kernel, **options))


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, 8.0, 24.0])
@pytest.mark.parametrize("time_q", [1, 65])
def test_exponents_of_lp(p, time_q):
    tensors = draw(time_q, 65, 40)
    options = {"p": p, "factor": 0.2}
    assert_close(with_gradients(tensors, "lp", **options), expected(tensors, "lp", **options))


def test_values_near_the_smallest_numbers_still_have_a_sign():
    tensors = draw(20, 20, 16)
    tiny = [tensors[0] * 1e-12, tensors[1] * 1e-12, tensors[2]]
    assert_close(with_gradients(tiny, "l1"), expected(tiny, "l1"))


def test_a_common_offset_of_l1_cancels():
    queries, keys, values = draw(130, 130, 64)
    shifted = [queries + 100, keys + 100, values]
    options: dict[str, Any] = {"factor": 0.125}
    assert_close(with_gradients(shifted, "l1", **options), expected(shifted, "l1", **options))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("factor", [1e-3, 1e4])
def test_any_scale_is_finite(kernel, factor):
    for tensor in with_gradients(draw(65, 65, 16), kernel, factor=factor):
        assert torch.isfinite(tensor).all()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("change", ["other", "nan"])
def test_a_later_token_leaves_earlier_outputs_bit_equal(kernel, change):
    tensors = draw(130, 130, 16)
    before = attend(tensors, request_for(kernel, *tensors))
    changed = 67
    for tensor in tensors:
        tensor[:, :, changed] = float("nan") if change == "nan" else 3.0
    after = attend(tensors, request_for(kernel, *tensors))
    assert torch.equal(before[:, :, :changed], after[:, :, :changed])
    assert not torch.equal(before[:, :, changed:], after[:, :, changed:])


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_nan_reaches_every_row_that_sees_it(kernel, place):
    tensors = draw(70, 70, 16)
    tensors[place][0, 0, 5, 3] = float("nan")
    found = with_gradients(tensors, kernel)
    rows = found[0][0, 0].isnan().any(-1)
    assert rows[5:].all() if place else rows[5]
    assert not rows[:5].any()
    assert not found[0][1].isnan().any()


def test_nan_in_the_first_query_stays_in_its_row():
    tensors = draw(70, 70, 16)
    tensors[0][:, :, 0, 3] = float("nan")
    rows = with_gradients(tensors, "l1")[0].isnan().any(-1)
    assert rows[..., 0].all()
    assert not rows[..., 1:].any()


@pytest.mark.parametrize("kernel", KERNELS)
def test_dropout_weights_are_scaled_and_used_again_in_the_backward(kernel):
    """With the identity for values the output is the dropped weights themselves."""
    tensors = draw(48, 48, 16, batch=1)
    eye = torch.eye(48).expand(1, 2, 48, 48)
    options: dict[str, Any] = {"dropout_p": 0.25, "factor": 0.25}

    torch.manual_seed(3)
    dropped = with_gradients([*tensors[:2], eye], kernel, **options)[0]
    whole = with_gradients([*tensors[:2], eye], kernel, factor=0.25)[0]
    kept = dropped != 0
    torch.testing.assert_close(dropped, whole * kept / 0.75)
    assert abs(kept.sum() / (whole != 0).sum() - 0.75) < 0.03

    torch.manual_seed(3)
    found = with_gradients(tensors, kernel, **options)
    leaves = [tensor.double().requires_grad_() for tensor in tensors]
    weights = attend_slowly(leaves, request_for(kernel, *leaves, factor=0.25))[1]
    out = (weights * kept / 0.75) @ leaves[2]
    assert_close(found, [out.detach(), *torch.autograd.grad(out, leaves, make_upstream(out))])


def test_dropout_repeats_with_its_seed_only():
    tensors = draw(48, 48, 16)

    def draw_once(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return with_gradients(tensors, "l1", dropout_p=0.5)[0]

    assert torch.equal(draw_once(1), draw_once(1))
    assert not torch.equal(draw_once(1), draw_once(2))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    tensors = [tensor.to(dtype) for tensor in draw(65, 65, 16)]
    found = with_gradients(tensors, "l1", dtype=dtype)
    wanted = with_gradients([tensor.float() for tensor in tensors], "l1")
    assert all(tensor.dtype == dtype for tensor in found)
    assert torch.equal(found[0], wanted[0].to(dtype))


def test_a_compiled_caller_stays_one_graph():
    tensors = [tensor.requires_grad_() for tensor in draw(33, 33, 16)]
    request = request_for("l1", *tensors)

    def loss(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        assert BACKEND.unable(request) is None
        return BACKEND.attend(queries * 0.5, keys * 0.5, values, request, None).square().sum()

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    found = torch.autograd.grad(compiled(*tensors), tensors)
    wanted = torch.autograd.grad(loss(*tensors), tensors)
    assert all(map(torch.equal, found, wanted))


def test_operators_keep_torch_library_promises():
    tensors = [tensor.requires_grad_() for tensor in draw(9, 9, 16)]
    arguments = (*tensors, "l1", True, 1.0, None, None, 0.0, None)
    torch.library.opcheck(fused_cpu.fused_attention, arguments)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"device": "cuda"}, "it runs on a CPU, not on cuda"),
        ({"dtype": torch.float64}, "it computes in float32, less than torch.float64"),
    ],
)
def test_what_it_cannot_serve(change, reason):
    request = Request("l1")._replace(**change)
    assert BACKEND.unable(request) == reason


def test_a_small_dot_product_is_left_to_torch():
    small = Request("dot", batch=8, heads=4, time_q=16, time_k=16)
    assert BACKEND.unwise(small) == "torch's own dot-product attention takes less time to call"
    assert BACKEND.unwise(small._replace(kernel="l1")) is None
    assert BACKEND.unwise(small._replace(time_q=64, time_k=64)) is None


def test_forcing_it_on_a_type_it_lacks_names_the_reason():
    tensors = [tensor.double() for tensor in draw(4, 4, 8)]
    with pytest.raises(
        ConfigError, match=r"`attention.backend`=fused_cpu cannot serve l1.*float64"
    ):
        distance_attention(*tensors, metric="l1", backend="fused_cpu")
