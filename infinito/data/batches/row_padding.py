"""Pads rows of token ids, and splits rows of unlike lengths into calls of least cost."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor


def group_by_length(lengths: Sequence[int], call_tokens: int) -> list[list[int]]:
    """Return row numbers in parts of least total cost: padded tokens plus `call_tokens` a part.

    Exact, by dynamic programming over rows sorted by length, where optimal parts are contiguous.
    """
    order = sorted(range(len(lengths)), key=lambda row: lengths[row])
    costs, cuts = [0], [0]
    for end in range(1, len(order) + 1):
        longest = lengths[order[end - 1]]
        found = [costs[cut] + (end - cut) * longest + call_tokens for cut in range(end)]
        best = min(range(end), key=found.__getitem__)
        costs.append(found[best])
        cuts.append(best)
    parts = []
    end = len(order)
    while end:
        parts.append(sorted(order[cuts[end] : end]))
        end = cuts[end]
    return parts[::-1]


def pad_rows(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Return token ids (rows, time) with 0 as padding, and where they are real, (rows, time)."""
    lengths = torch.tensor([len(row) for row in rows])
    real = torch.arange(int(lengths.max())) < lengths[:, None]
    ids = torch.zeros(real.shape, dtype=torch.long)
    ids[real] = torch.tensor(list(chain.from_iterable(rows)))
    return ids, real


def add_mask(visible: Tensor) -> Tensor:
    """Return a mask to add to scores, (rows, 1, time, time), of what each query sees.

    Not bool: transformers' eager attention adds its mask, and a bool one would mask nothing.

    Args:
        visible: (rows, time, time) bool; each query must see some key.
    """
    return torch.zeros(visible.shape).masked_fill_(~visible, -torch.inf).unsqueeze(1)
