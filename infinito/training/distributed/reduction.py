"""Means over the processes of a training, each of which has computed a part of a batch."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.distributed as dist
from torch import Tensor


def is_shared() -> bool:
    """Return whether several processes train together."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def mean_over_processes(values: Tensor, count: int = 1) -> Tensor:
    """Return the mean of `values` over the processes, without gradient; all must call it.

    Args:
        values: Of any shape, means over `count` windows, pairs or tokens of this process.
        count: Their weight.
    """
    if not is_shared():
        return values.detach()
    weighted = torch.cat([values.detach().reshape(-1) * count, values.new_tensor([count])])
    weighted = sum_over_processes(weighted)
    return (weighted[:-1] / weighted[-1]).reshape(values.shape)


def means_over_processes(means: Mapping[str, Tensor], counts: list[Tensor]) -> dict[str, Tensor]:
    """Return means by name over what all processes hold; all must call it.

    Args:
        means: Each a tensor (), the mean over this process's share.
        counts: For each mean a tensor (), how many values it is over.
    """
    if not is_shared():
        return dict(means)
    values, weights = (
        torch.stack([each.detach().double() for each in group])
        for group in (means.values(), counts)
    )
    sums, totals = sum_over_processes(torch.stack([values * weights, weights])).unbind()
    return dict(zip(means, (sums / totals).unbind(), strict=True))


def sum_over_processes(values: Tensor) -> Tensor:
    """Return the sum of `values` over the processes, without gradient; all must call it."""
    summed = values.detach().clone()
    if is_shared():
        dist.all_reduce(summed)
    return summed


def of_first_process(value: float) -> float:
    """Return the first process's value; all must call it."""
    values = [value]
    if is_shared():
        dist.broadcast_object_list(values, src=0)
    return values[0]
