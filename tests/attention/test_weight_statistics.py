"""Entropy, mean and maximum of attention weights."""

from __future__ import annotations

import math

import pytest
import torch

from infinito.attention import attention_statistics


def test_hand_worked() -> None:
    """Rows see 1, 2 and 3 keys with weights (1), (½, ½), (½, ¼, ¼).

    Entropies 0, log 2, 1.5 log 2: mean (0 + 1 + 1.5)/3 · log 2 = 0.833 · log 2. Normalised, of the
    last two rows: (1 + 1.5 log 2/log 3)/2. Mean weights 1, ½, ⅓: 11/18. Maxima 1, ½, ½: ⅔.
    """
    weights = torch.tensor([[1, 0, 0], [0.5, 0.5, 0], [0.5, 0.25, 0.25]])[None, None]
    statistics = attention_statistics(weights)
    assert statistics["entropy_nats"] == pytest.approx(2.5 / 3 * math.log(2))
    assert statistics["entropy"] == pytest.approx((1 + 1.5 * math.log(2) / math.log(3)) / 2)
    assert statistics["mean"] == pytest.approx(11 / 18)
    assert statistics["max"] == pytest.approx(2 / 3)


def test_extremes() -> None:
    uniform = torch.ones(2, 3, 8, 8).tril()
    uniform = uniform / uniform.sum(-1, keepdim=True)
    assert attention_statistics(uniform)["entropy"] == pytest.approx(1.0)
    certain = torch.eye(8).expand(2, 3, 8, 8)
    assert attention_statistics(certain)["entropy"] == 0.0
    assert attention_statistics(certain)["max"] == 1.0


def test_rows_behind_a_cache_see_more_keys() -> None:
    weights = torch.full((1, 1, 1, 4), 0.25)
    assert attention_statistics(weights)["entropy"] == pytest.approx(1.0)
    assert attention_statistics(weights)["mean"] == pytest.approx(0.25)


def test_rows_without_keys_do_not_count() -> None:
    visible = torch.tensor([[False, False], [True, True]])
    weights = torch.tensor([[0.0, 0.0], [0.5, 0.5]])[None, None]
    statistics = attention_statistics(weights, visible)
    assert statistics["entropy"] == pytest.approx(1.0)
    assert statistics["max"] == pytest.approx(0.5)


def test_one_key_has_no_normalised_entropy() -> None:
    statistics = attention_statistics(torch.ones(1, 1, 1, 1))
    assert math.isnan(statistics["entropy"])
    assert statistics["entropy_nats"] == 0.0
