"""Orders of batches: whole, disjoint between processes, fixed by seed and epoch."""

from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infinito.data.batches.order import EvaluationOrder, TrainingOrder, permutation
from infinito.errors import DataError


def lists(batches):
    return [batch.tolist() for batch in batches]


def test_the_same_seed_and_epoch_give_the_same_order():
    first, same, other = (TrainingOrder(100, 7, seed=seed) for seed in (1, 1, 2))
    assert lists(first.batches(3)) == lists(same.batches(3))
    assert lists(first.batches(3)) != lists(first.batches(4))
    assert lists(first.batches(3)) != lists(other.batches(3))


def test_an_epoch_has_whole_batches_of_different_windows():
    batches = lists(TrainingOrder(100, 7, seed=0).batches(0))
    assert [len(batch) for batch in batches] == [7] * 14
    assert len({window for batch in batches for window in batch}) == 98


def test_the_dropped_windows_differ_between_epochs():
    order = TrainingOrder(10, 8, seed=0)
    assert len({frozenset(np.concatenate([*order.batches(e)])) for e in range(20)}) > 10


def test_an_epoch_can_begin_anywhere():
    order = TrainingOrder(100, 7, seed=0)
    whole = lists(order.batches(2))
    for start in range(len(order) + 1):
        assert lists(order.batches(2, start)) == whole[start:]


def test_processes_share_the_batches_of_one():
    """Two processes with batch size 4 see together what one with 8 sees."""
    one = lists(TrainingOrder(100, 8, seed=5).batches(1))
    ranks = [TrainingOrder(100, 4, seed=5, rank=r, world_size=2) for r in (0, 1)]
    shares = zip(*(lists(order.batches(1)) for order in ranks), strict=True)
    assert [sorted(a + b) for a, b in shares] == [sorted(batch) for batch in one]


def test_a_permutation_has_every_number_once_in_four_bytes():
    numbers = permutation(1000, seed=1, epoch=2)
    assert sorted(numbers.tolist()) == list(range(1000))
    assert numbers.dtype == np.int32


def test_fewer_windows_than_a_batch():
    message = r"train split has 5 windows, .*data\.batch_size=4 in 2 .*at least 8.*batch_size=2 or"
    with pytest.raises(DataError, match=message):
        TrainingOrder(5, 4, seed=0, world_size=2)


@given(windows=st.integers(1, 200), batch_size=st.integers(1, 20), world_size=st.integers(1, 8))
def test_evaluation_sees_every_window_once_in_equally_many_batches(windows, batch_size, world_size):
    if windows < world_size:
        with pytest.raises(DataError, match=r"cannot be shared by .*trainer\.devices"):
            EvaluationOrder(windows, batch_size, world_size=world_size)
        return
    orders = [
        EvaluationOrder(windows, batch_size, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    shares = [lists(order.batches()) for order in orders]
    assert {len(share) for share in shares} == {len(orders[0])}
    batches = [list(chain(*parts)) for parts in zip(*shares, strict=True)]
    assert list(chain(*batches)) == list(range(windows))
    one = EvaluationOrder(windows, batch_size * world_size)
    assert len(one) != len(batches) or lists(one.batches()) == batches
    sizes = [len(batch) for share in shares for batch in share]
    assert min(sizes) >= 1
    assert max(sizes) <= batch_size + 1


def test_evaluation_in_one_process_keeps_to_the_batch_size():
    assert lists(EvaluationOrder(9, 8).batches()) == [[0, 1, 2, 3], [4, 5, 6, 7, 8]]
    assert max(len(b) for b in EvaluationOrder(1000, 8).batches()) == 8
