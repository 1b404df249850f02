"""Points that need no scores: configured defaults, a scrambled Sobol sequence, random draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from infinito.errors import ConfigError
from infinito.search.space.parameters import Array, Float
from infinito.search.space.space import Space
from infinito.seeding import child_seed

_CHUNK = 256
_CHUNKS = 256
"""Chunks of random points that are searched for feasible ones."""

_LONGEST = 1 << 13
"""Longest part of the Sobol sequence that is listed."""


class Sampler:
    """Draws points that depend on the seed and the trial's number alone.

    Args:
        space: What is searched.
        seed: The search's seed.
        defaults: Points that come first; parameters that one leaves out are drawn.

    Raises:
        ConfigError: A default that is outside the space.
    """

    def __init__(self, space: Space, seed: int, defaults: Sequence[Mapping[str, Any]] = ()) -> None:
        self.space = space
        self.seed = seed
        self._sequences: dict[int, Array] = {}
        self._given: dict[bytes, dict[str, float]] = {}
        self.defaults = [self._complete(dict(given), i) for i, given in enumerate(defaults)]

    def decode(self, row: Array) -> dict[str, Any]:
        """Return the values of a point; a default has its numbers to the last digit."""
        return {**self.space.decode(row), **self._given.get(row.tobytes(), {})}

    def make_generator(self, number: int) -> np.random.Generator:
        """Return the generator of one trial."""
        return np.random.default_rng(child_seed(self.seed, "trial", number))

    def draw_uniform(self, rng: np.random.Generator, count: int) -> Array:
        """(at most count, parameters): feasible snapped points, uniformly drawn."""
        table = self.space.table
        if table is not None:
            return table[rng.integers(len(table), size=count)]
        found: list[Array] = []
        for _ in range(_CHUNKS):
            rows = self.space.snap(rng.random((max(count, _CHUNK), len(self.space.names))))
            found.append(rows[self.space.is_feasible(rows)])
            if sum(map(len, found)) >= count:
                break
        return np.concatenate(found)[:count]

    def design(self, count: int) -> Array:
        """(at most count, parameters): the defaults, then the first of a scrambled Sobol sequence.

        All are values of the space and feasible, and no point appears twice.
        """
        rows = np.concatenate([*(row[None] for row in self.defaults), self._draw_sobol(_CHUNK)])
        _, first = np.unique(rows, axis=0, return_index=True)
        return rows[np.sort(first)][:count]

    def spread(self, tried: Array) -> Array | None:
        """Return the next point (parameters,) of the Sobol sequence that is not among those tried.

        None where the first `_LONGEST` have all been tried.
        """
        length = _CHUNK
        while length <= _LONGEST:
            left = exclude(self._draw_sobol(length), tried)
            if len(left):
                first: Array = left[0]
                return first
            length *= 2
        return None

    def draw_untried(self, rng: np.random.Generator, count: int, tried: Array) -> Array:
        """(at most count, parameters): uniform draws without those of `tried`.

        Where the space is small enough to be listed, the result is empty only if every point has
        been tried.
        """
        if self.space.table is None:
            return exclude(self.draw_uniform(rng, count), tried)
        left = exclude(self.space.table, tried)
        return left if len(left) <= count else left[rng.choice(len(left), count, replace=False)]

    def _draw_sobol(self, length: int) -> Array:
        """Return the feasible ones among the first points; a longer sequence begins the same."""
        if length not in self._sequences:
            from scipy.stats import qmc

            rng = np.random.default_rng(child_seed(self.seed, "sobol"))
            rows = self.space.snap(qmc.Sobol(len(self.space.names), rng=rng).random(length))
            self._sequences[length] = rows[self.space.is_feasible(rows)]
        return self._sequences[length]

    def _complete(self, given: dict[str, Any], index: int) -> Array:
        space = self.space
        unknown = sorted(set(given) - set(space.names) - set(space.fixed))
        if unknown:
            raise ConfigError(f"a default gives `{unknown[0]}`, which is not searched")
        rng = np.random.default_rng(child_seed(self.seed, "default", index))
        rows = space.snap(rng.random((_CHUNK, len(space.names))))
        for i, parameter in enumerate(space.parameters):
            if parameter.name in given:
                rows[:, i] = parameter.encode(given[parameter.name])
        rows = rows[space.is_feasible(rows)]
        if not len(rows):
            raise ConfigError(f"the default {given} breaks a condition of the space")
        numbers = [each.name for each in space.parameters if isinstance(each, Float)]
        exact = {name: float(given[name]) for name in numbers if name in given}
        self._given[rows[0].tobytes()] = exact
        row: Array = rows[0]
        return row


def exclude(rows: Array, tried: Array) -> Array:
    """Return the rows (points, parameters) that are not among those tried, to nine digits."""
    seen = {row.tobytes() for row in tried.round(9)}
    return rows[[row.tobytes() not in seen for row in rows.round(9)]]
