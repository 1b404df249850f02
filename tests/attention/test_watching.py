"""Watched calls give the entropies of the weights themselves, and their gradient."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from infinito.attention import METRICS, distance_attention, reference_attention
from infinito.attention.watching import row_entropy, watched_attention


def tensors(dtype: torch.dtype = torch.float64, kv_heads: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(3, 4, 9, 6, generator=generator, dtype=dtype),
        torch.randn(3, kv_heads, 9, 6, generator=generator, dtype=dtype),
        torch.randn(3, kv_heads, 9, 6, generator=generator, dtype=dtype),
    )


def padding() -> Tensor:
    real = torch.ones(3, 9, dtype=torch.bool)
    real[1, :4] = False
    return real


@pytest.mark.parametrize("mask", [None, padding(), padding()[:, None, None, :].expand(3, 1, 9, 9)])
@pytest.mark.parametrize("metric", sorted(METRICS))
def test_entropy_is_that_of_the_reference_weights(metric: str, mask: Tensor | None) -> None:
    """Σ −w·log w of the reference's weights over the log of how many keys are seen."""
    queries, keys, values = tensors()
    p = 3.0 if metric == "lp" else None
    if mask is not None and mask.ndim == 4:
        mask = mask & torch.ones(9, 9, dtype=torch.bool).tril()
    options: dict[str, Any] = {"metric": metric, "scale": 1.7, "p": p, "key_padding": mask}
    with watched_attention() as calls:
        distance_attention(queries, keys, values, backend="reference", **options)
    _, weights = reference_attention(queries, keys, values, **options)
    rows = torch.tensor([0, 3, 5, 8])
    seen = (weights > 0).sum(-1)
    entropy = torch.special.entr(weights).sum(-1)
    expected = torch.where(seen > 1, entropy / seen.clamp_min(2).log(), 0.0)
    assert torch.allclose(row_entropy(calls[0], rows), expected.mean(1)[:, rows], atol=1e-9)


def test_rows_of_their_own_for_each_sequence() -> None:
    queries, keys, values = tensors()
    with watched_attention() as calls:
        distance_attention(queries, keys, values, metric="dot")
    rows = torch.tensor([[1, 8], [2, 7], [3, 6]])
    whole = row_entropy(calls[0], torch.arange(9))
    assert torch.allclose(row_entropy(calls[0], rows), whole.gather(1, rows))


def test_alike_keys_have_entropy_one() -> None:
    queries, keys, values = tensors()
    with watched_attention() as calls:
        distance_attention(torch.zeros_like(queries), keys, values, metric="dot")
    assert row_entropy(calls[0], torch.tensor([1, 8])).flatten().tolist() == pytest.approx([1] * 6)


@pytest.mark.parametrize("metric", ["dot", "l1", "l2", "cosine"])
def test_gradient(metric: str) -> None:
    queries, keys, values = tensors()
    rows = torch.tensor([2, 8])

    def entropy(queries: Tensor, keys: Tensor) -> Tensor:
        with watched_attention() as calls:
            distance_attention(queries, keys, values[:1], metric=metric)
        return row_entropy(calls[0], rows)

    inputs = queries[:1].requires_grad_(), keys[:1].requires_grad_()
    assert torch.autograd.gradcheck(entropy, inputs, atol=1e-4)


def test_weights_of_zero_leave_the_gradient_finite() -> None:
    queries, keys, values = tensors(torch.float32)
    queries = (queries * 1e4).requires_grad_()
    with watched_attention() as calls:
        distance_attention(queries, keys, values, metric="dot")
    row_entropy(calls[0], torch.tensor([8])).sum().backward()
    assert torch.isfinite(queries.grad).all()  # type: ignore[arg-type]


def test_watching_nests_and_ends() -> None:
    queries, keys, values = tensors()
    with watched_attention(last=3) as outer:
        distance_attention(queries, keys, values, metric="dot")
        with watched_attention() as inner:
            distance_attention(queries, keys, values, metric="l1")
            distance_attention(queries, keys, values, metric="l2")
    distance_attention(queries, keys, values, metric="dot")
    assert [call.kernel for call in outer] == ["dot", "l1", "l2"]
    assert [call.kernel for call in inner] == ["l2"]
    assert inner[0].factor == pytest.approx(1.0)
    assert outer[0].factor == pytest.approx(1 / math.sqrt(6))
