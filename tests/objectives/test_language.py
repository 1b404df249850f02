"""The language loss and its units, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from infinito.objectives.language import bits_per_byte, cross_entropy, perplexity


def test_cross_entropy_by_hand() -> None:
    """Logits log 3 and 0 give 3/4 and 1/4: −log ¾ = 0.2877 and −log ¼ = 1.3863, mean 0.8370."""
    logits = torch.tensor([[[math.log(3.0), 0.0], [math.log(3.0), 0.0]]])
    targets = torch.tensor([[0, 1]])
    assert cross_entropy(logits, targets).item() == pytest.approx(0.8370, abs=1e-4)
    assert cross_entropy(logits, targets, "sum").item() == pytest.approx(1.6740, abs=1e-4)


def test_cross_entropy_of_bfloat16_is_computed_in_float32() -> None:
    logits = torch.randn(1, 3, 500, generator=torch.Generator().manual_seed(0)).bfloat16()
    targets = torch.tensor([[1, 2, 3]])
    assert torch.equal(cross_entropy(logits, targets), cross_entropy(logits.float(), targets))


def test_units_by_hand() -> None:
    """log 8 nats are 3 bits: 8 choices a token, 64 a word of two tokens, 3/4 bit a byte of four."""
    nats = math.log(8)
    assert perplexity(nats) == pytest.approx(8)
    assert perplexity(nats, units_per_token=0.5) == pytest.approx(64)
    assert bits_per_byte(nats, bytes_per_token=4) == pytest.approx(0.75)


def test_a_perplexity_beyond_floats_is_infinite() -> None:
    assert perplexity(1e4) == math.inf
