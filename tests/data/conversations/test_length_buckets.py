"""Bucketed orders: each pair once, like lengths together, the same again, and shared fairly."""

from __future__ import annotations

import numpy as np
import pytest

from infinito.data.conversations.length_buckets import BucketOrder
from infinito.errors import DataError

LENGTHS = np.random.default_rng(0).integers(5, 400, 103).tolist()


def order(world_size: int = 1, rank: int = 0, **changes: int) -> BucketOrder:
    settings = {"seed": 3, "pool_batches": 64, **changes}
    return BucketOrder(
        LENGTHS, 4, rank=rank, world_size=world_size, seed=settings["seed"],
        pool_batches=settings["pool_batches"],
    )  # fmt: skip


@pytest.mark.parametrize("pool_batches", [1, 3, 64])
@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_every_pair_once_an_epoch(world_size: int, pool_batches: int) -> None:
    ranks = [order(world_size, rank, pool_batches=pool_batches) for rank in range(world_size)]
    for epoch in range(2):
        parts = [list(each.batches(epoch)) for each in ranks]
        assert {len(part) for part in parts} == {len(ranks[0])}
        seen = np.concatenate([numbers for part in parts for numbers, _ in part])
        assert sorted(seen) == list(range(len(LENGTHS)))


@pytest.mark.parametrize(("pairs", "batch", "world"), [(3, 1, 2), (5, 2, 4), (9, 4, 2), (7, 7, 7)])
def test_no_process_goes_without_and_pairs_count_alike(pairs: int, batch: int, world: int) -> None:
    """Averaged over processes, each pair of a global batch has weight 1 over their number."""
    ranks = [
        BucketOrder([1] * pairs, batch, seed=0, rank=r, world_size=world) for r in range(world)
    ]
    for parts in zip(*(each.batches(0) for each in ranks), strict=True):
        count = sum(len(numbers) for numbers, _ in parts)
        assert min(len(numbers) for numbers, _ in parts) > 0
        assert [share / world for _, share in parts] == pytest.approx([1 / count] * world)


def test_reshuffled_each_epoch_and_the_same_again() -> None:
    def flat(each: BucketOrder, epoch: int) -> list[int]:
        return [int(number) for numbers, _ in each.batches(epoch) for number in numbers]

    assert flat(order(), 0) == flat(order(), 0)
    assert flat(order(), 0) != flat(order(), 1)
    assert flat(order(), 0) != flat(order(seed=4), 0)


def test_begins_anywhere() -> None:
    whole = [numbers.tolist() for numbers, _ in order().batches(2)]
    assert [numbers.tolist() for numbers, _ in order().batches(2, start=5)] == whole[5:]


def test_buckets_save_padding_and_keep_the_order_of_batches_random() -> None:
    def longest(numbers: np.ndarray) -> int:
        return max(LENGTHS[number] for number in numbers)

    def padded(each: BucketOrder) -> int:
        return sum(longest(numbers) * len(numbers) for numbers, _ in each.batches(0))

    plain, bucketed = padded(order(pool_batches=1)), padded(order())
    assert sum(LENGTHS) <= bucketed < 1.1 * sum(LENGTHS) < 1.3 * sum(LENGTHS) < plain
    firsts = [longest(numbers) for numbers, _ in order().batches(0)]
    assert firsts != sorted(firsts)


def test_fewer_pairs_than_processes_are_refused() -> None:
    with pytest.raises(DataError, match=r"2 row\(s\) are too few for 3 processes"):
        BucketOrder([1, 2], 4, seed=0, world_size=3)
