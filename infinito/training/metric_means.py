"""Means of named figures over the pairs of several batches and processes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


class MetricMeans:
    """Adds up figures; one that some batches lack is the mean over those that have it."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, metrics: Mapping[str, Tensor], pairs: int) -> None:
        """Adds the figures of a batch of so many pairs, each a tensor ()."""
        for name, value in metrics.items():
            product = value.detach().double() * pairs
            self._sums[name] = self._sums[name] + product if name in self._sums else product
            self._counts[name] = self._counts.get(name, 0) + pairs

    def take(self, strategy: Any | None = None) -> dict[str, float]:
        """Returns the means by name, and begins anew.

        Args:
            strategy: Lightning's, to add up over its processes; all must have the same names.
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
        """Returns what was added so far."""
        return {"sums": dict(self._sums), "counts": dict(self._counts)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes it back."""
        self._sums, self._counts = state["sums"], state["counts"]
