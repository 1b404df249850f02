"""Windows: each token a target once, fetched as a batch, small in memory."""

import pickle

import numpy as np
import pytest
import torch

from infinito.data.batches import token_blocks
from infinito.data.batches.token_blocks import TokenBlocks
from infinito.data.encoding import TokenChunk
from infinito.data.token_cache import TokenCache
from infinito.errors import DataError


@pytest.fixture
def tokens_of(tmp_path):
    def tokens_of(ids, dtype=np.uint16):
        chunk = TokenChunk(np.array(ids, dtype=dtype), 1, 1, 1)
        return TokenCache(tmp_path).tokens(f"{len(ids)}", np.dtype(dtype), lambda: [chunk])

    return tokens_of


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
def test_windows_overlap_by_one_token(tokens_of, dtype):
    blocks = TokenBlocks(tokens_of(range(11), dtype), block_size=3)
    assert len(blocks) == 3
    batch = blocks.__getitems__([0, 2])
    assert batch.dtype == torch.int64
    assert batch.tolist() == [[0, 1, 2, 3], [6, 7, 8, 9]]
    assert blocks[1].tolist() == [3, 4, 5, 6]


def test_every_token_but_the_first_and_the_tail_is_a_target_once(tokens_of):
    blocks = TokenBlocks(tokens_of(range(100)), block_size=7)
    targets = blocks.__getitems__(np.arange(len(blocks)))[:, 1:].flatten().tolist()
    assert targets == list(range(1, 99))


def test_large_ids_survive(tokens_of):
    ids = [65_535, 65_536, 2**32 - 1]
    assert TokenBlocks(tokens_of(ids, np.uint32), 2)[0].tolist() == ids


def test_a_batch_is_a_copy(tokens_of):
    blocks = TokenBlocks(tokens_of(range(10)), block_size=3)
    blocks.__getitems__([0]).zero_()
    assert blocks[0].tolist() == [0, 1, 2, 3]


def test_windows_out_of_range_are_refused(tokens_of):
    blocks = TokenBlocks(tokens_of(range(10)), block_size=3)
    with pytest.raises(IndexError):
        blocks.__getitems__([3])


def test_pickling_reopens_the_file(tokens_of):
    blocks = TokenBlocks(tokens_of(range(10_000)), block_size=3)
    content = pickle.dumps(blocks)
    assert len(content) < 1000
    assert torch.equal(pickle.loads(content)[5], blocks[5])


def test_releasing_memory_changes_no_batch(tokens_of, monkeypatch):
    monkeypatch.setattr(token_blocks, "RELEASE_ABOVE_BYTES", 0)
    monkeypatch.setattr(token_blocks, "WINDOWS_BETWEEN_RELEASES", 2)
    blocks = TokenBlocks(tokens_of(range(100)), block_size=7)
    for n in range(len(blocks)):
        assert blocks[n].tolist() == list(range(7 * n, 7 * n + 8))


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (8, r"train split has 8 tokens, .*data\.block_size=8 needs at least 9\..*block_size=7 or"),
        (1, r"train split has 1 token, .*needs at least 9\. Give more text"),
        (0, r"train split has 0 tokens, .*Give more text with data\.path"),
    ],
)
def test_text_shorter_than_a_block(tokens_of, count, message):
    with pytest.raises(DataError, match=message):
        TokenBlocks(tokens_of(range(count)), block_size=8, name="train split")
