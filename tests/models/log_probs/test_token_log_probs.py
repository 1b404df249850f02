"""The chunked head: the same as plain logits, whatever the chunks, forward and backward."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from infinito.models.log_probs import token_log_probs
from infinito.models.log_probs.token_log_probs import logit_scores, token_scores


def tensors(bias: bool = True) -> list[Tensor]:
    torch.manual_seed(0)
    hidden, weight = torch.randn(7, 5).double(), torch.randn(11, 5).double()
    parts = [hidden, weight] + ([torch.randn(11).double()] if bias else [])
    return [part.requires_grad_() for part in parts]


TARGETS = torch.tensor([0, 10, 3, 3, 7, 1, 0])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kept", [0, 11 * 8 * 4, 1 << 20])
@pytest.mark.parametrize("chunk", [1, 11 * 8 * 3, 1 << 20])
def test_chunks_change_nothing(
    monkeypatch: pytest.MonkeyPatch, chunk: int, kept: int, bias: bool
) -> None:
    monkeypatch.setattr(token_log_probs, "CHUNK_BYTES", chunk)
    monkeypatch.setattr(token_log_probs, "KEPT_BYTES", kept)
    inputs = tensors(bias)
    hidden, weight, *rest = inputs
    plain = hidden @ weight.T + (rest[0] if rest else 0)
    expected = logit_scores(plain, TARGETS, statistics=True)
    found = token_scores(hidden, weight, rest[0] if rest else None, TARGETS, statistics=True)
    for one, other in zip(found, expected, strict=True):
        assert one is not None
        assert other is not None
        assert torch.allclose(one.double(), other.double(), rtol=0, atol=1e-12)
    slopes = torch.randn(7).double()
    for one, other in zip(
        torch.autograd.grad(found.log_probs @ slopes, inputs),
        torch.autograd.grad(expected.log_probs @ slopes, inputs),
        strict=True,
    ):
        assert torch.allclose(one, other, rtol=0, atol=1e-12)


def test_gradcheck() -> None:
    hidden, weight, bias = tensors()
    assert torch.autograd.gradcheck(
        lambda h, w, b: token_scores(h, w, b, TARGETS).log_probs, (hidden, weight, bias)
    )


def test_statistics_by_hand() -> None:
    """Logits (0, ln 3): p = (¼, ¾), entropy ln 4 − ¾ ln 3, mean ½ ln 3, top choice 1."""
    three = torch.tensor(3.0).double().log()
    logits = torch.stack((torch.zeros_like(three), three)).repeat(2, 1)
    scores = logit_scores(logits, torch.tensor([0, 1]), statistics=True)
    assert scores.entropy is not None
    assert scores.mean_logits is not None
    assert scores.is_top is not None
    assert scores.log_probs.exp().tolist() == pytest.approx([0.25, 0.75])
    assert scores.entropy.tolist() == pytest.approx(
        [float(torch.tensor(4.0).log() - 0.75 * three)] * 2
    )
    assert scores.mean_logits.tolist() == pytest.approx([float(three / 2)] * 2)
    assert scores.is_top.tolist() == [False, True]


def test_a_frozen_head_gets_no_gradient() -> None:
    hidden, weight, bias = tensors()
    weight.requires_grad_(False)
    bias.requires_grad_(False)
    token_scores(hidden, weight, bias, TARGETS).log_probs.sum().backward()
    assert hidden.grad is not None
    assert weight.grad is None


def test_lower_precision_sums_in_float32() -> None:
    hidden, weight, bias = (part.detach() for part in tensors())
    exact = token_scores(hidden, weight, bias, TARGETS).log_probs
    found = token_scores(hidden.bfloat16(), weight.bfloat16(), bias.bfloat16(), TARGETS).log_probs
    assert found.dtype == torch.float32
    assert torch.allclose(found.double(), exact, atol=0.1)
