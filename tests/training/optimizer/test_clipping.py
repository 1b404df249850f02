"""All gradients share one norm, which is returned as it was before clipping."""

from __future__ import annotations

import pytest
import torch

from infinito.training.optimizer.clipping import clip_gradients


@pytest.mark.parametrize(
    ("limit", "first"), [(None, 3.0), (10.0, 3.0), (1.0, 0.6)], ids=["none", "above", "below"]
)
def test_by_hand(limit: float | None, first: float) -> None:
    """Gradients 3 and 4 of two parameters have the norm 5; a limit of 1 divides both by 5."""
    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    for weight, gradient in zip(weights, (3.0, 4.0), strict=True):
        weight.grad = torch.tensor([gradient])
    assert clip_gradients(weights, limit).item() == pytest.approx(5.0)
    assert [float(each.grad) for each in weights if each.grad is not None] == pytest.approx(
        [first, first * 4 / 3], rel=1e-4
    )
