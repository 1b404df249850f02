"""Windows of token ids cut from a memory-mapped file, a whole batch at a time."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from infinito.data.token_cache import TokenFile
from infinito.errors import DataError

# A window may map two 64 KiB stretches of the file; unmapped again after this many windows, a file
# of any size adds at most 64 MiB to the resident memory.
WINDOWS_BETWEEN_RELEASES = 512
RELEASE_ABOVE_BYTES = 1 << 26


class TokenBlocks(Dataset[Tensor]):
    """Windows of `block_size` + 1 consecutive ids with stride `block_size`.

    Inputs are window[:-1], targets window[1:], so every id is a target once per epoch, except the
    first of the split and the fewer than `block_size` ids after the last whole window.

    Args:
        tokens: the token file.
        block_size: predictions per window.
        name: what to call the text in a message, e.g. "train split of text of a.txt".

    Raises:
        DataError: fewer than `block_size` + 1 ids.
    """

    def __init__(self, tokens: TokenFile, block_size: int, name: str = "text") -> None:
        count = tokens.meta.tokens
        if count <= block_size:
            raise DataError(_too_short(name, count, block_size))
        self.path: Path = tokens.path
        self.dtype = np.dtype(tokens.meta.dtype)
        self.block_size = block_size
        self.windows = (count - 1) // block_size
        self._mapped, self._view = self._map()
        self._fetched = 0

    def __len__(self) -> int:
        return self.windows

    def __getitem__(self, index: int) -> Tensor:
        """Return window `index`, int64 (block_size + 1,)."""
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int] | np.ndarray) -> Tensor:
        """Return the windows at `indices`, int64 (batch, block_size + 1)."""
        batch = torch.from_numpy(self._view[indices].astype(np.int64))
        self._fetched += len(indices)
        if self._fetched >= WINDOWS_BETWEEN_RELEASES and len(self._mapped) > RELEASE_ABOVE_BYTES:
            self._mapped.madvise(mmap.MADV_DONTNEED)
            self._fetched = 0
        return batch

    def __getstate__(self) -> dict[str, object]:
        return {key: value for key, value in vars(self).items() if not key.startswith("_")}

    def __setstate__(self, state: dict[str, object]) -> None:
        vars(self).update(state)
        self._mapped, self._view = self._map()
        self._fetched = 0

    def _map(self) -> tuple[mmap.mmap, np.ndarray]:
        """Return the mapped file and all its windows (windows, block_size + 1), none copied."""
        with self.path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        ids = np.frombuffer(mapped, dtype=self.dtype)
        step = ids.itemsize
        view = np.lib.stride_tricks.as_strided(
            ids,
            shape=(self.windows, self.block_size + 1),
            strides=(self.block_size * step, step),
            writeable=False,
        )
        return mapped, view


def _too_short(name: str, count: int, block_size: int) -> str:
    received = f"The {name} has {count} token{'' if count == 1 else 's'}, "
    expected = f"but a block of data.block_size={block_size} needs at least {block_size + 1}. "
    if count < 2:
        return received + expected + "Give more text with data.path."
    return received + expected + f"Choose data.block_size={count - 1} or less, or give more text."
