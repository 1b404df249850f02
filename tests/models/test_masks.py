"""Masks and caches as transformers hands them over."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import Cache, DynamicCache, StaticCache

from infinito.models import masks as visibility_module
from infinito.models.distance_lm.config import DistanceLMConfig
from infinito.models.masks import default_positions

CPU = torch.device("cpu")


def visibility(
    mask: Tensor | None, positions: Tensor | None, cache: Cache | None, batch: int, time: int
) -> Tensor | None:
    return visibility_module.visibility(mask, positions, cache, batch, time, CPU)


def test_nothing_to_hide_is_none() -> None:
    assert visibility(None, None, None, 2, 3) is None
    assert visibility(torch.ones(2, 3), None, None, 2, 3) is None
    assert visibility(None, torch.arange(3)[None], None, 2, 3) is None
    assert visibility(None, torch.tensor([[5]]), DynamicCache(), 2, 1) is None


def test_padding_stays_a_padding() -> None:
    padding = visibility(torch.tensor([[0, 1, 1], [1, 1, 1]]), None, None, 2, 3)
    assert padding is not None
    assert padding.tolist() == [[False, True, True], [True, True, True]]


def test_whole_masks_are_bool_or_added() -> None:
    wanted = torch.tensor([[True, False], [True, True]])[None, None]
    added = torch.zeros(1, 1, 2, 2).masked_fill(~wanted, torch.finfo(torch.float32).min)
    infinite = torch.zeros(1, 1, 2, 2).masked_fill(~wanted, float("-inf"))
    for mask in (wanted, added, infinite, added.bfloat16()):
        visible = visibility(mask, None, None, 1, 2)
        assert visible is not None
        assert torch.equal(visible, wanted)


def test_packed_rows_are_kept_apart() -> None:
    visible = visibility(None, torch.tensor([[0, 1, 0, 1]]), None, 1, 4)
    assert visible is not None
    assert visible[0, 0].int().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]


def static_cache(seen: int) -> StaticCache:
    cache = StaticCache(config=DistanceLMConfig(num_hidden_layers=1), max_cache_len=5)
    if seen:
        cache.update(torch.zeros(1, 4, seen, 32), torch.zeros(1, 4, seen, 32), 0)
    return cache


def test_a_static_cache_shows_what_is_filled() -> None:
    visible = visibility(None, None, static_cache(2), 1, 2)
    assert visible is not None
    assert visible[0, 0].int().tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 0]]
    one = visibility(torch.tensor([[0, 1, 1]]), None, static_cache(2), 1, 1)
    assert one is not None
    assert one.int().tolist() == [[0, 1, 1, 0, 0]]
    empty = visibility(None, None, static_cache(0), 1, 2)
    assert empty is not None
    assert empty[0, 0].int().tolist() == [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0]]


def test_positions_skip_padding() -> None:
    padding = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 0]])
    positions = default_positions(padding, 0, 4, CPU)
    assert positions is not None
    assert positions.tolist() == [[0, 0, 0, 1], [0, 1, 2, 2]]
    for start in (3, torch.tensor(3)):
        behind_cache = default_positions(padding, start, 1, CPU)
        assert behind_cache is not None
        assert behind_cache.tolist() == [[1], [2]]


def test_positions_count_on_without_padding() -> None:
    assert default_positions(None, 5, 2, CPU) is None
    static = default_positions(None, torch.tensor(5), 2, CPU)
    assert static is not None
    assert static.tolist() == [[5, 6]]
