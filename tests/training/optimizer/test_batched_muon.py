"""Muon of stacked matrices: torch's own numbers, whatever the shapes, dtypes and settings."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Muon

from infinito.training.optimizer import batched_muon
from infinito.training.optimizer.batched_muon import BatchedMuon, orthogonalize, stacks

SHAPES = ((6, 4), (4, 6), (6, 4), (5, 5), (1, 7), (6, 4), (4, 6))
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def matrices(dtype: torch.dtype = torch.float32) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=generator).to(dtype)) for shape in SHAPES]


def train(optimizer: torch.optim.Optimizer, steps: range, without: int | None = None) -> None:
    parameters = optimizer.param_groups[0]["params"]
    for seed in steps:
        generator = torch.Generator().manual_seed(seed)
        for place, each in enumerate(parameters):
            gradient = torch.randn(each.shape, generator=generator).to(each.dtype)
            each.grad = None if place == without else gradient
        optimizer.step()


def assert_near(ours: list[nn.Parameter], theirs: list[nn.Parameter], lr: float) -> None:
    """Processors may round a product in a stack otherwise than one alone: a bfloat16's last bit."""
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-2, atol=0.02 * lr)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize(
    "settings",
    [{}, {"weight_decay": 0.2, "momentum": 0.5}, {"ns_steps": 2, "lr": 0.1}],
    ids=["defaults", "decay", "two iterations"],
)
def test_steps_are_those_of_torch(dtype: torch.dtype, settings: dict[str, Any]) -> None:
    settings = {"lr": 0.02, "weight_decay": 0.0, **settings}
    ours, theirs = matrices(dtype), matrices(dtype)
    train(BatchedMuon(ours, **settings), range(3), without=2)
    train(Muon(theirs, **settings), range(3), without=2)
    assert_near(ours, theirs, settings["lr"])
    assert torch.equal(ours[2], matrices(dtype)[2])  # it had no gradient


def test_a_state_of_torchs_muon_goes_on() -> None:
    """Checkpoints that torch's own class wrote open: names and shapes of the state are its."""
    ours, theirs = matrices(), matrices()
    first = Muon(theirs, lr=0.02)
    train(first, range(2))
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    again = BatchedMuon(ours, lr=0.5)
    again.load_state_dict(torch.load(file, weights_only=True))
    for one, other in zip(ours, theirs, strict=True):
        one.data.copy_(other.data)
    train(again, range(2, 4))
    train(first, range(2, 4))
    assert_near(ours, theirs, 0.02)


@pytest.mark.parametrize("shape", [(3, 8, 4), (3, 4, 8), (2, 5, 5)])
def test_directions_are_kept_and_lengths_made_equal(shape: tuple[int, int, int]) -> None:
    """Of U·S·Vᵀ, U·Vᵀ remains, times singular values that the iteration leaves near 1.

    The smallest of S start above 0.1 of the norm, so that five iterations lift them.
    """
    generator = torch.Generator().manual_seed(1)
    left, _, right = torch.linalg.svd(torch.randn(shape, generator=generator), full_matrices=False)
    values = torch.linspace(1.0, 3.0, left.shape[-1])
    found = orthogonalize(((left * values) @ right).bfloat16(), COEFFICIENTS, 5, 1e-7).float()
    inner = left.mT @ found @ right.mT
    assert torch.allclose(inner, torch.diag_embed(inner.diagonal(dim1=1, dim2=2)), atol=0.05)
    assert inner.diagonal(dim1=1, dim2=2).sub(1).abs().max() < 0.4


def test_a_matrix_of_zeros_stays_finite() -> None:
    assert not orthogonalize(torch.zeros(2, 3, 4).bfloat16(), COEFFICIENTS, 5, 1e-7).any()


def test_stacks_hold_equal_shapes_up_to_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batched_muon, "STACKED_NUMBERS", 50)
    found = [[tuple(each.shape) for each in stack] for stack in stacks(matrices())]
    assert found == [[(6, 4), (6, 4)], [(6, 4)], [(4, 6), (4, 6)], [(5, 5)], [(1, 7)]]
    monkeypatch.setattr(batched_muon, "STACKED_NUMBERS", 1)
    assert [len(stack) for stack in stacks(matrices())] == [1] * len(SHAPES)


def test_a_closure_runs_once_with_gradients() -> None:
    [matrix] = parameters = [nn.Parameter(torch.eye(3))]
    calls = []

    def closure() -> Tensor:
        calls.append(torch.is_grad_enabled())
        loss = matrix.square().sum()
        loss.backward()
        return loss

    assert BatchedMuon(parameters, lr=0.1).step(closure) == 3.0
    assert calls == [True]
    assert not torch.equal(matrix, torch.eye(3))


def test_other_devices_take_torchs_own_step(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    monkeypatch.setattr(Muon, "step", lambda self, _: taken.append(self))
    optimizer = BatchedMuon([nn.Parameter(torch.empty(3, 2, device="meta"))], lr=0.1)
    optimizer.step()
    assert taken == [optimizer]
