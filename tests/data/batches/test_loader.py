"""Loaders: lazy, resumable, and the same with and without worker processes."""

import os
import signal
from typing import Any

import numpy as np
import pytest
import torch

from infinito.data.batches.loader import EvaluationLoader, TrainingStream
from infinito.data.batches.order import EvaluationOrder, TrainingOrder
from infinito.data.batches.token_blocks import TokenBlocks
from infinito.data.encoding import TokenChunk
from infinito.data.token_cache import TokenCache
from infinito.errors import DataError


@pytest.fixture
def blocks(tmp_path):
    ids = np.arange(101, dtype=np.uint16)
    chunk = TokenChunk(ids, utf8_bytes=1, words=1, documents=1)
    return TokenBlocks(TokenCache(tmp_path).tokens("a", ids.dtype, lambda: [chunk]), 5)


@pytest.fixture
def order(blocks):
    return TrainingOrder(len(blocks), 3, seed=1)


def lists(batches):
    return [batch.tolist() for batch in batches]


def test_a_stream_is_one_epoch_after_the_other(blocks, order):
    expected = [
        blocks.__getitems__(indices) for epoch in range(3) for indices in order.batches(epoch)
    ]
    batches = list(TrainingStream(blocks, order, total=15))
    assert len(order) == 6
    assert all(torch.equal(a, b) for a, b in zip(batches, expected[:15], strict=True))
    assert batches[0].shape == (3, 6)


@pytest.mark.parametrize("start", [0, 1, 5, 6, 7, 14, 15])
def test_a_stream_begins_where_it_is_told(blocks, order, start):
    whole = lists(TrainingStream(blocks, order, total=15))
    left = TrainingStream(blocks, order, total=15, start=start)
    assert lists(left) == whole[start:]
    assert len(left) == 15


def test_epochs_differ(blocks, order):
    epochs = np.array(lists(TrainingStream(blocks, order, total=12))).reshape(2, 6, 3, 6)
    assert not (epochs[0] == epochs[1]).all()


def test_worker_processes_hand_out_the_same_batches_and_leave_torch_alone(blocks, order):
    state = torch.get_rng_state()
    with_workers = TrainingStream(blocks, order, total=8, start=1, workers=1)
    assert lists(with_workers) == lists(TrainingStream(blocks, order, total=8, start=1))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("room", [0, 3], ids=["none", "some"])
def test_workers_without_shared_memory_name_the_override(blocks, order, monkeypatch, room):
    made: list[Any] = []

    def fail():
        made.append(len(made))
        if len(made) > room:
            raise OSError(30, "Read-only file system")

    monkeypatch.setattr("multiprocessing.Lock", fail)  # what Linux does without /dev/shm
    message = r"data\.workers=1 cannot work here: .*Read-only file system.*data\.workers=0"
    with pytest.raises(DataError, match=message):
        lists(TrainingStream(blocks, order, total=8, workers=1))


def test_a_worker_that_dies_names_the_override(blocks, order, monkeypatch):
    def die(_):
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(blocks, "__getitems__", die, raising=False)
    with pytest.raises(DataError, match=r"(exited unexpectedly|by signal).*data\.workers=0"):
        lists(TrainingStream(blocks, order, total=8, workers=1))


def test_evaluation_repeats_itself(blocks):
    loader = EvaluationLoader(blocks, EvaluationOrder(len(blocks), 8))
    assert lists(loader) == lists(loader)
    windows = torch.cat(list(loader))
    assert torch.equal(windows, blocks.__getitems__(np.arange(len(blocks))))
    assert len(loader) == 3
