"""Loaders: lazy, resumable, and the same with and without worker processes."""

import numpy as np
import pytest
import torch

from infinito.data.batch_loader import EvaluationLoader, TrainingLoader
from infinito.data.batch_order import EvaluationOrder, TrainingOrder
from infinito.data.encoding import TokenChunk
from infinito.data.token_blocks import TokenBlocks
from infinito.data.token_cache import TokenCache


@pytest.fixture
def blocks(tmp_path):
    ids = np.arange(101, dtype=np.uint16)
    chunk = TokenChunk(ids, utf8_bytes=1, words=1, documents=1)
    return TokenBlocks(TokenCache(tmp_path).tokens("a", ids.dtype, lambda: [chunk]), 5)


@pytest.fixture
def loader(blocks):
    return TrainingLoader(blocks, TrainingOrder(len(blocks), 3, seed=1))


def lists(batches):
    return [batch.tolist() for batch in batches]


def test_batches_are_windows_of_the_order(blocks, loader):
    expected = [blocks.__getitems__(indices) for indices in loader.order.batches(0)]
    batches = list(loader)
    assert all(torch.equal(a, b) for a, b in zip(batches, expected, strict=True))
    assert len(batches) == len(loader) == 6
    assert batches[0].shape == (3, 6)


def test_each_iteration_is_the_next_epoch(loader):
    epochs = [lists(loader) for _ in range(3)]
    assert len({str(epoch) for epoch in epochs}) == 3
    loader.start_at(1, 0)
    assert lists(loader) == epochs[1]


def test_an_iteration_begins_where_it_is_told_and_the_next_at_zero(loader):
    epochs = [lists(loader) for _ in range(2)]
    loader.start_at(0, 4)
    assert len(loader) == 6
    assert lists(loader) == epochs[0][4:]
    assert lists(loader) == epochs[1]


def test_an_iterator_that_is_never_asked_does_not_count(loader):
    first = lists(loader)
    loader.start_at(0, 0)
    iter(loader)
    early = iter(loader)
    loader.start_at(0, 2)
    assert lists(early) == first[2:]


def test_the_position_counts_batches_handed_out(loader):
    assert loader.position == (0, 0)
    batches = iter(loader)
    next(batches)
    next(batches)
    assert loader.position == (0, 2)
    list(batches)
    assert loader.position == (0, 6)
    next(iter(loader))
    assert loader.position == (1, 1)


def test_worker_processes_hand_out_the_same_batches_and_leave_torch_alone(blocks, loader):
    state = torch.get_rng_state()
    with_workers = TrainingLoader(blocks, loader.order, workers=1)
    assert lists(with_workers) == lists(loader)
    assert torch.equal(torch.get_rng_state(), state)


def test_evaluation_repeats_itself(blocks):
    loader = EvaluationLoader(blocks, EvaluationOrder(len(blocks), 8))
    assert lists(loader) == lists(loader)
    windows = torch.cat(list(loader))
    assert torch.equal(windows, blocks.__getitems__(np.arange(len(blocks))))
    assert len(loader) == 3
