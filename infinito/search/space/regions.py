"""Parts of a space: an interval of each ordered parameter, a subset of each other one's values."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from infinito.search.space.parameters import Array
from infinito.search.space.space import Space


@dataclass(frozen=True)
class Region:
    """A box in coordinates.

    Attributes:
        low, high: (parameters,): bounds of the ordered parameters; 0 and 1 for the others.
        subsets: For each parameter without order (values,): which of them lie inside; None for an
            ordered parameter.
        ordered: (parameters,): which parameters have an order.
    """

    low: Array
    high: Array
    subsets: tuple[NDArray[np.bool_] | None, ...]
    ordered: NDArray[np.bool_]

    @classmethod
    def whole(cls, space: Space) -> Region:
        """Return the region that covers the space."""
        count = len(space.names)
        subsets = tuple(
            None if p.is_ordered else np.ones(int(p.count), dtype=bool) for p in space.parameters
        )
        ordered = np.array([p.is_ordered for p in space.parameters])
        return cls(np.zeros(count), np.ones(count), subsets, ordered)

    def holds(self, rows: Array) -> NDArray[np.bool_]:
        """(points,): which of these points (points, parameters) lie inside."""
        inside: NDArray[np.bool_] = np.all((rows >= self.low) & (rows <= self.high), axis=1)
        for i, subset in enumerate(self.subsets):
            if subset is not None:
                inside &= subset[find_indices(rows[:, i], len(subset))]
        return inside

    def stretch(self, units: Array) -> Array:
        """Map points of the unit cube (points, parameters) onto the region."""
        rows = self.low + (self.high - self.low) * units
        for i, subset in enumerate(self.subsets):
            if subset is not None:
                members = np.flatnonzero(subset)
                at = members[find_indices(units[:, i], len(members))]
                rows[:, i] = (at + 0.5) / len(subset)
        return rows

    def cut(self, i: int, at: float) -> tuple[Region, Region]:
        """Return the parts below and above a coordinate of one ordered parameter."""
        high, low = self.high.copy(), self.low.copy()
        high[i] = low[i] = at
        return replace(self, high=high), replace(self, low=low)

    def cut_values(self, i: int, inside: NDArray[np.bool_]) -> tuple[Region, Region]:
        """Return the parts with some values of one unordered parameter and with its others."""
        subset = self.subsets[i]
        assert subset is not None
        left, right = self.subsets[:i], self.subsets[i + 1 :]
        return (
            replace(self, subsets=(*left, subset & inside, *right)),
            replace(self, subsets=(*left, subset & ~inside, *right)),
        )


def find_indices(column: Array, count: int) -> NDArray[np.int64]:
    """Return which of `count` values each coordinate stands for."""
    return np.clip(np.floor(column * count), 0, count - 1).astype(np.int64)
