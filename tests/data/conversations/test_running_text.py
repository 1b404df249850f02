"""Windows of text beside conversations: which ones, in which batch, with which weight."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from infinito.data.batches.token_blocks import TokenBlocks
from infinito.data.conversations.conversation import TokenizedConversation
from infinito.data.conversations.datamodule import ConversationStream
from infinito.data.conversations.layouts import arrange
from infinito.data.conversations.length_buckets import BucketOrder
from infinito.data.conversations.running_text import RunningText
from infinito.data.token_cache import SplitMeta, TokenFile
from infinito.errors import DataError


def make_text(folder: Path, rows: int = 2, windows: int = 5, block: int = 4) -> RunningText:
    ids = np.arange(windows * block + 1, dtype=np.uint16)
    path = folder / "ids.bin"
    path.write_bytes(ids.tobytes())
    sizes = {"tokens": len(ids), "utf8_bytes": 0, "words": 0, "documents": 1}
    meta = SplitMeta(**sizes, dtype="uint16", sha256="0" * 64)
    blocks = TokenBlocks(TokenFile(path, meta), block)
    return RunningText(blocks, rows, seed=0, name="text", fingerprint="0" * 64)


def test_every_token_of_a_window_but_its_first_is_learned(tmp_path: Path) -> None:
    first = next(make_text(tmp_path).batches())
    assert len(first) == 2
    for window in first:
        assert list(window.ids) == list(range(window.ids[0], window.ids[0] + 5))
        assert list(window.learned) == [1, 2, 3, 4]


def test_the_windows_of_a_batch_do_not_depend_on_where_a_stream_begins(tmp_path: Path) -> None:
    """Five windows in batches of two: an epoch has two batches, and the third begins another."""
    text = make_text(tmp_path)
    whole = list(islice(text.batches(), 7))
    assert list(islice(text.batches(3), 4)) == whole[3:]
    starts = [each.ids[0] for batch in whole[:2] for each in batch]
    assert len(set(starts)) == 4


def test_two_processes_read_together_what_one_with_twice_the_rows_reads(tmp_path: Path) -> None:
    one = next(make_text(tmp_path, rows=4).batches())
    halves = [next(make_text(tmp_path).batches(rank=rank, world_size=2)) for rank in (0, 1)]
    starts = sorted(each.ids[0] for half in halves for each in half)
    assert starts == sorted(each.ids[0] for each in one)


def test_text_shorter_than_a_batch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has 5 windows"):
        next(make_text(tmp_path, rows=6).batches())


def test_each_learned_token_of_a_step_counts_alike(tmp_path: Path) -> None:
    """Conversations with 1 and 2 learned tokens and windows of 2 · 4: shares of 1 / (3 + 8)."""
    rows = [
        TokenizedConversation([7, 8], [1], 1, 0),
        TokenizedConversation([7, 8, 9], [1, 2], 2, 1),
    ]
    text = make_text(tmp_path)
    order = BucketOrder([2, 3], 2, seed=0, pool_batches=1)

    def collate(numbers, share, windows=()):  # type: ignore[no-untyped-def]
        return arrange([*(rows[number] for number in numbers), *windows], "padded", share)

    stream = ConversationStream(order, np.array([1, 2]), collate, total=3, text=text)
    for batch in stream:
        assert len(batch.targets) == 11
        assert batch.share == pytest.approx(1 / 11)
