"""The Triton kernels against the slow reference, on Triton's interpreter: no GPU is needed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from infinito.attention import choose_backend, explain, reference_attention
from infinito.attention.backends.backend import Request
from infinito.attention.backends.triton.backend import BACKEND

pytest.importorskip("triton", reason="triton is not installed")

from infinito.attention.backends.triton import operators

FACTOR = 0.4


def draw(time_q: int, time_k: int, dim: int = 8, width: int = 8, kv_heads: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(time_q)
    shapes = ((2, time_q, dim), (kv_heads, time_k, dim), (kv_heads, time_k, width))
    return [torch.randn(2, *shape, generator=generator).requires_grad_() for shape in shapes]


def assert_like_reference(
    tensors: list[Tensor],
    kernel: str,
    *,
    causal: bool = True,
    padding: Tensor | None = None,
    tolerance: float = 1e-5,
) -> None:
    exact = [x.detach().double().requires_grad_() for x in tensors]
    scale = FACTOR * (tensors[0].shape[-1] ** 0.5 if kernel == "l1" else 1.0)
    wanted = reference_attention(
        *exact, metric=kernel, scale=scale, causal=causal, key_padding=padding
    )[0]
    slope = torch.linspace(-1, 1, wanted.numel(), dtype=torch.float64).view_as(wanted)
    out, _ = operators.triton_attention(*tensors, kernel, causal, FACTOR, padding)
    assert (out - wanted).abs().max() <= tolerance
    found = torch.autograd.grad(out, tensors, slope.to(out.dtype))
    for mine, theirs in zip(found, torch.autograd.grad(wanted, exact, slope), strict=True):
        assert mine.dtype == out.dtype
        assert (mine - theirs).abs().max() <= 5 * tolerance * theirs.abs().max().clamp_min(1.0)


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several tiles a row at sizes that the interpreter has time for."""
    monkeypatch.setattr(operators, "ROWS", 16)
    monkeypatch.setattr(operators, "COLS", 16)


@pytest.mark.parametrize("kernel", ["l1", "l2"])
@pytest.mark.parametrize(
    ("time_q", "time_k", "causal"), [(1, 1, True), (33, 33, True), (20, 20, False), (5, 37, True)]
)
def test_output_and_gradients(kernel: str, time_q: int, time_k: int, causal: bool) -> None:
    assert_like_reference(draw(time_q, time_k), kernel, causal=causal)


@pytest.mark.parametrize("kernel", ["l1", "l2"])
def test_shared_heads_padding_and_odd_widths(kernel: str) -> None:
    padding = torch.ones(2, 35, dtype=torch.bool)
    padding[0, :4] = padding[1, 30:] = False
    tensors = draw(35, 35, dim=5, width=3, kv_heads=1)
    assert_like_reference(tensors, kernel, padding=padding)
    out, _ = operators.triton_attention(*tensors, kernel, True, FACTOR, padding)
    assert not out[0, :, :4].any(), "a row that sees no key is 0"


@pytest.mark.parametrize("kernel", ["l1", "l2"])
def test_ties_and_zero_distances(kernel: str) -> None:
    """sign(0) = 0, and a distance of 0 has the subgradient 0."""
    tensors = [x.detach().mul(2).round().div(2).requires_grad_() for x in draw(20, 20)]
    assert_like_reference(tensors, kernel)
    same = tensors[1].detach().clone().requires_grad_()
    assert_like_reference([same, *tensors[1:]], kernel)


def test_half_precision() -> None:
    """Of the halves the interpreter multiplies float16 only."""
    tensors = [x.detach().half().requires_grad_() for x in draw(20, 20)]
    assert_like_reference(tensors, "l1", tolerance=0.02)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of the interpreter, at NaN
def test_a_later_token_leaves_earlier_outputs_bit_equal() -> None:
    tensors = [x.detach() for x in draw(35, 35)]
    before, _ = operators.triton_attention(*tensors, "l1", True, FACTOR, None)
    for x in tensors:
        x[:, :, 33] = float("nan")
    after, _ = operators.triton_attention(*tensors, "l1", True, FACTOR, None)
    assert torch.equal(before[:, :, :32], after[:, :, :32])
    assert after[:, :, 33:].isnan().all()


def test_operators_keep_torch_library_promises() -> None:
    tests = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(
        operators.triton_attention, (*draw(9, 9), "l1", True, 1.0, None), test_utils=tests
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"device": "cpu"}, "it runs on CUDA, not on cpu"),
        ({"kernel": "dot"}, "it has l1 and l2, not dot"),
        ({"dtype": torch.float64}, "it computes in float32, less than torch.float64"),
        ({"dropout_p": 0.1}, "it has no dropout"),
    ],
)
def test_what_it_cannot_serve(change: dict, reason: str) -> None:
    assert BACKEND.unable(Request("l1", device="cuda")._replace(**change)) == reason


def test_it_serves_l1_on_a_gpu() -> None:
    assert BACKEND.unable(Request("l1", device="cuda")) is None


def test_it_is_chosen_by_name_only() -> None:
    request = Request("l1", device="cuda", time_q=4096, time_k=4096)
    assert choose_backend(request).name == "chunked"
    assert choose_backend(request, "triton").name == "triton"
    assert "triton: it is tested in an interpreter" in explain(request)


@pytest.mark.slow
def test_nothing_spills_on_sm_90() -> None:
    environment = {name: v for name, v in os.environ.items() if name != "TRITON_INTERPRET"}
    script = Path(__file__).with_name("triton_for_sm90.py")
    result = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, check=True
    )
    lines = [line.split() for line in result.stdout.splitlines()]
    assert len(lines) == 6
    assert {spilled for _, _, spilled in lines} == {"0"}
