"""Simulation: which point of a region the surrogate would try next.

Many points of the region are judged by log-expected improvement; the best few climb its gradient
in the parameters that vary smoothly and step through the values of the others.
"""

from __future__ import annotations

import math

import numpy as np

from infinito.search.regions import Region
from infinito.search.space.parameters import Array
from infinito.search.space.sampling import Sampler, without
from infinito.search.surrogate.acquisition import log_expected_improvement
from infinito.search.surrogate.surrogate import Surrogate

UNIFORM, NEAR, CLIMBERS, CLIMB_STEPS = 160, 128, 3, 12
MARGIN = 0.01
"""By how many standard deviations of the scores a point has to be better than the best to count:
else the last digits of one valley take all trials. Brochu, Cora and de Freitas (2010), 2.3.1."""

SMOOTH_COUNT = 24
"""Parameters with at least so many ordered values are climbed as if they were continuous."""


class Playout:
    """Plays the surrogate out in regions of a space.

    Args:
        surrogate: The posterior. Its trials are not proposed again, and their best score, less a
            margin, is what is to be improved on.
        sampler: Draws points of the space.
    """

    def __init__(self, surrogate: Surrogate, sampler: Sampler) -> None:
        self.surrogate = surrogate
        self.target = np.atleast_1d(surrogate.scores.min(axis=0))[:, None] - MARGIN
        self.sampler = sampler
        self.space = sampler.space
        self.tried = surrogate.rows
        self.smooth = np.array(
            [p.is_ordered and p.count >= SMOOTH_COUNT for p in self.space.parameters]
        )

    def candidates(
        self, region: Region, leaders: Array, rng: np.random.Generator
    ) -> tuple[Array, Array]:
        """Untried points of a region, (points, parameters), and what each promises, (points,).

        Args:
            region: Where to look.
            leaders: (points, parameters): good points, whose neighbourhoods are looked at closely.
            rng: For the candidates.
        """
        rows = self._drawn(region, leaders, rng)
        return rows, self.gains(rows)

    def best(self, region: Region, rows: Array, gains: Array) -> Array:
        """The best point that the search finds from these candidates, of which there is one."""
        chosen = rows[np.argsort(-gains, kind="stable")[:CLIMBERS]]
        if self.smooth.any():
            rows, gains = self._with(rows, gains, self._climbed(chosen, region), region)
        if not self.smooth.all():
            rows, gains = self._stepped(rows, gains, region)
        return rows[int(np.argmax(gains))]

    def gains(self, rows: Array) -> Array:
        """(points,): logarithm of the improvement expected, on average over the fantasies."""
        if not len(rows):
            return np.empty(0)
        mean, deviation = self.surrogate.predict(rows)
        return _averaged(log_expected_improvement(mean, deviation, self.target)[0])[0]

    def _drawn(self, region: Region, leaders: Array, rng: np.random.Generator) -> Array:
        table = self.space.table
        if table is not None and len(table) <= UNIFORM + NEAR:
            return without(table[region.holds(table)], self.tried)
        rows = region.draw(rng.random((UNIFORM, len(self.space.names))))
        if len(leaders):
            rows = np.concatenate([rows, self._near(region, leaders, rng)])
        return self._allowed(rows, region)

    def _near(self, region: Region, leaders: Array, rng: np.random.Generator) -> Array:
        count, size = NEAR, leaders.shape[1]
        centre = leaders[rng.integers(len(leaders), size=count)]
        reach = np.exp(rng.uniform(math.log(0.005), math.log(0.5), (count, 1)))
        moved = centre + reach * (region.high - region.low) * rng.standard_normal((count, size))
        moved = np.clip(moved, region.low, region.high)
        fresh = region.draw(rng.random((count, size)))
        moved = np.where(region.ordered, moved, fresh)
        changed = rng.random((count, size)) < np.maximum(rng.random((count, 1)), 1.5 / size)
        return np.where(changed, moved, centre)

    def _allowed(self, rows: Array, region: Region) -> Array:
        rows = self.space.snapped(rows)
        rows = rows[region.holds(rows) & self.space.feasible(rows)]
        return without(rows, self.tried)

    def _with(self, rows: Array, gains: Array, more: Array, region: Region) -> tuple[Array, Array]:
        more = self._allowed(more, region)
        if not len(more):
            return rows, gains
        return np.concatenate([rows, more]), np.concatenate([gains, self.gains(more)])

    def _climbed(self, rows: Array, region: Region) -> Array:
        from scipy.optimize import minimize

        smooth = np.flatnonzero(self.smooth)
        points = rows.copy()

        def loss(flat: Array) -> tuple[float, Array]:
            points[:, smooth] = flat.reshape(len(rows), -1)
            mean, deviation, mean_slope, deviation_slope = self.surrogate.slopes(points)
            gain, ratio = log_expected_improvement(mean, deviation, self.target)
            z = np.maximum((self.target - mean) / deviation, -1e4)
            gain, share = _averaged(gain)
            along = (share * (1 - z * ratio)).sum(axis=0)[:, None] * deviation_slope
            along -= ((share * ratio)[:, :, None] * mean_slope).sum(axis=0)
            return -gain.sum(), -(along / deviation[:, None])[:, smooth].ravel()

        bounds = list(zip(region.low[smooth], region.high[smooth], strict=True)) * len(rows)
        found = minimize(
            loss,
            rows[:, smooth].ravel(),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": CLIMB_STEPS, "maxfun": CLIMB_STEPS + 5},
        )
        loss(found.x)
        return points

    def _stepped(self, rows: Array, gains: Array, region: Region) -> tuple[Array, Array]:
        """Adds the neighbours of the best point in each coarse parameter while that helps."""
        for _ in range(4):
            top = int(np.argmax(gains))
            before = gains[top]
            rows, gains = self._with(rows, gains, self._neighbours(rows[top]), region)
            if gains.max() <= before + 1e-9:
                break
        return rows, gains

    def _neighbours(self, row: Array) -> Array:
        found = []
        for i in np.flatnonzero(~self.smooth):
            parameter = self.space.parameters[i]
            grid = parameter.grid()  # type: ignore[union-attr]
            if parameter.is_ordered:
                grid = grid[np.argsort(np.abs(grid - row[i]), kind="stable")[1:7]]
            for coordinate in grid:
                found.append(row.copy())
                found[-1][i] = coordinate
        return np.array(found)


def _averaged(gains: Array) -> tuple[Array, Array]:
    """The logarithm of a mean over the first axis of logarithms, and each one's share in it."""
    best = gains.max(axis=0)
    shares = np.exp(gains - best)
    total = shares.sum(axis=0)
    return best + np.log(total / len(gains)), shares / total
