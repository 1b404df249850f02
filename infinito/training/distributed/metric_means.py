"""Weighted means of named metrics over batches and processes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from infinito.training.distributed.reduction import is_shared, sum_over_processes


class MetricMeans:
    """Adds up metrics; one that some batches lack is the mean over the batches that have it.

    Unlike torchmetrics' MeanMetric, it keeps NaN instead of dropping it with a warning, copies
    nothing back from a device before the end, and its sums can go into a checkpoint.

    Args:
        dtype: Precision of the sums.
    """

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        self.dtype = dtype
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, metrics: Mapping[str, Tensor], count: int) -> None:
        """Add the means of a batch, each a tensor (), over `count` pairs, tokens or windows."""
        for name, value in metrics.items():
            product = value.detach().to(self.dtype) * count
            self._sums[name] = self._sums[name] + product if name in self._sums else product
            self._counts[name] = self._counts.get(name, 0) + count

    def take(self, strategy: Any | None = None) -> dict[str, float]:
        """Return the means by name and reset the sums.

        Args:
            strategy: Lightning's strategy, to add up over its processes, which must all have the
                same names.
        """
        if not self._sums:
            return {}
        sums = torch.stack(list(self._sums.values()))
        counts = torch.tensor([self._counts[name] for name in self._sums]).to(sums)
        if strategy is not None:
            sums, counts = (strategy.reduce(part, reduce_op="sum") for part in (sums, counts))
        means = dict(zip(self._sums, (sums / counts).tolist(), strict=True))
        self._sums, self._counts = {}, {}
        return means

    def state_dict(self) -> dict[str, Any]:
        """Return the sums so far, of all processes together, which must all call it."""
        names, sums, counts = list(self._sums), dict(self._sums), dict(self._counts)
        if is_shared() and names:
            numbers = torch.stack([*sums.values()]), torch.tensor([counts[name] for name in names])
            total, number = (sum_over_processes(each) for each in numbers)
            sums = dict(zip(names, total.unbind(), strict=True))
            counts = dict(zip(names, number.tolist(), strict=True))
        return {"sums": sums, "counts": counts}

    def load_state_dict(self, state: dict[str, Any], rank: int = 0) -> None:
        """Restore saved sums, in the first process; the others begin at 0."""
        self._sums, self._counts = state["sums"], state["counts"]
        if rank > 0:
            self._sums = {name: torch.zeros_like(each) for name, each in self._sums.items()}
            self._counts = dict.fromkeys(self._counts, 0)
