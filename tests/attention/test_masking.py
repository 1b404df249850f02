"""Masks and shared key heads."""

from __future__ import annotations

import torch

from infinito.attention.masking import share_groups, visible_keys


def test_causal_is_aligned_bottom_right() -> None:
    mask = visible_keys(2, 4, causal=True, key_padding=None, device="cpu")
    assert mask is not None
    assert mask.tolist() == [[True, True, True, False], [True, True, True, True]]


def test_more_queries_than_keys_leave_the_first_blind() -> None:
    mask = visible_keys(3, 2, causal=True, key_padding=None, device="cpu")
    assert mask is not None
    assert mask.tolist() == [[False, False], [True, False], [True, True]]


def test_one_query_sees_all() -> None:
    assert visible_keys(1, 4, causal=True, key_padding=None, device="cpu") is None
    assert visible_keys(3, 4, causal=False, key_padding=None, device="cpu") is None


def test_padding_is_taken_out() -> None:
    padding = torch.tensor([[False, True], [True, True]])
    mask = visible_keys(2, 2, causal=True, key_padding=padding, device="cpu")
    assert mask is not None
    assert mask[:, 0].tolist() == [[[False, False], [False, True]], [[True, False], [True, True]]]


def test_a_free_mask_is_all() -> None:
    mask = torch.ones(1, 1, 2, 2, dtype=torch.bool)
    assert visible_keys(2, 2, causal=True, key_padding=mask, device="cpu") is mask


def test_groups_are_neighbours() -> None:
    keys = torch.tensor([1.0, 2.0]).view(1, 2, 1, 1)
    assert share_groups(keys, 4).flatten().tolist() == [1, 1, 2, 2]
    assert share_groups(keys, 2) is keys
