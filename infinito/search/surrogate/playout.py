"""Play-outs: which point of a region the surrogate would try next.

Many points of the region are judged by log-expected improvement; the best few climb its gradient
in the parameters that vary smoothly and step through the values of the others.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from infinito.search.space.parameters import Array
from infinito.search.space.regions import Region
from infinito.search.space.sampling import Sampler, exclude
from infinito.search.surrogate.acquisition import log_expected_improvement
from infinito.search.surrogate.surrogate import Posterior

UNIFORM, NEAR = 160, 128
"""Candidates drawn all over a region, and near its best trials."""

LEADERS = 5
"""Best trials of a region, near which candidates are drawn."""

CLIMBERS, CLIMB_STEPS = 3, 12
"""Candidates that climb the gradient, and for how many steps of L-BFGS."""

COARSE_STEPS = 4
"""How often the best point may move to a neighbour in the coarse parameters."""

MARGIN = 0.01
"""Standard deviations of the scores by which a point has to beat the best to count as better;
without it the search keeps refining one optimum. Brochu, Cora and de Freitas (2010), 2.3.1."""

SMOOTH_COUNT = 24
"""Fewest ordered values that make a parameter as good as continuous, so that it climbs."""


class Candidates(NamedTuple):
    """Untried points of a region.

    Attributes:
        region: Where they lie.
        rows: (points, parameters).
        gains: (points,): logarithms of the improvements expected of them.
    """

    region: Region
    rows: Array
    gains: Array

    @property
    def promise(self) -> float:
        """The greatest gain; −inf without candidates."""
        return float(self.gains.max(initial=-math.inf))


class Playout:
    """Play the surrogate out in regions of a space.

    Args:
        surrogate: The posterior.
        sampler: Draws points of the space.
        tried: (points, parameters): all trials; none is proposed again.
        is_noisy: Whether the best score may be luck. What is to be improved on, by a margin, is
            the best score, or else the best posterior mean of a trial.
    """

    def __init__(
        self, surrogate: Posterior, sampler: Sampler, tried: Array, is_noisy: bool = False
    ) -> None:
        self.surrogate = surrogate
        known = surrogate.predict(surrogate.rows)[0].T if is_noisy else surrogate.scores
        self.target = np.atleast_1d(known.min(axis=0))[:, None] - MARGIN
        self.space = sampler.space
        self.tried = tried
        self.smooth = np.array(
            [p.is_ordered and p.count >= SMOOTH_COUNT for p in self.space.parameters]
        )

    def draw_candidates(self, region: Region, rng: np.random.Generator) -> Candidates:
        """Return untried points of a region with what each promises."""
        rows = self._draw(region, rng)
        return Candidates(region, rows, self.compute_gains(rows))

    def refine(self, candidates: Candidates) -> Array:
        """Return the best point (parameters,) that starts from these candidates, one or more."""
        region, rows, gains = candidates
        chosen = rows[np.argsort(-gains, kind="stable")[:CLIMBERS]]
        if self.smooth.any():
            candidates = self._add(candidates, self._climb(chosen, region))
        if not self.smooth.all():
            candidates = self._step(candidates)
        best: Array = candidates.rows[int(np.argmax(candidates.gains))]
        return best

    def find_repeat(self, fresh: Array | None, rows: Array) -> Array | None:
        """Return the point that is worth a second look more than a fresh one is worth a first.

        Each is judged by its expected improvement less what the noise of one trial leaves unknown.

        Args:
            fresh: (parameters,): a new point, or None where there is none.
            rows: (points, parameters): trials that have ended, one or more.

        Returns:
            One of `rows`, or None where the fresh point is worth more.

        Source: Huang, Allen, Notz and Zeng, Global Optimization of Stochastic Black-Box Systems
            (2006), equation 13: the augmented expected improvement.
        """
        points = rows if fresh is None else np.concatenate([rows, fresh[None]])
        deviation = self.surrogate.predict(points)[1]
        noise = math.sqrt(self.surrogate.amplitude * self.surrogate.noise)
        learnt = 1 - noise / np.hypot(noise, deviation)
        worth = self.compute_gains(points) + np.log(np.maximum(learnt, 1e-12))
        best = int(np.argmax(worth))
        chosen: Array | None = rows[best] if best < len(rows) else None
        return chosen

    def compute_gains(self, rows: Array) -> Array:
        """(points,): logarithm of the improvement expected, on average over the fantasies."""
        if not len(rows):
            return np.empty(0)
        mean, deviation = self.surrogate.predict(rows)
        return _average_logs(log_expected_improvement(mean, deviation, self.target)[0])[0]

    def _draw(self, region: Region, rng: np.random.Generator) -> Array:
        table = self.space.table
        if table is not None and len(table) <= UNIFORM + NEAR:
            return exclude(table[region.holds(table)], self.tried)
        rows = region.stretch(rng.random((UNIFORM, len(self.space.names))))
        leaders = self._find_leaders(region)
        if len(leaders):
            rows = np.concatenate([rows, self._draw_near(region, leaders, rng)])
        return self._keep_allowed(rows, region)

    def _find_leaders(self, region: Region) -> Array:
        """(points, parameters): the best trials of a region, by their mean scores."""
        learnt = self.surrogate.rows
        inside = np.flatnonzero(region.holds(learnt))
        scores = self.surrogate.scores.reshape(len(learnt), -1)[inside].mean(axis=1)
        return learnt[inside[np.argsort(scores, kind="stable")[:LEADERS]]]

    def _draw_near(self, region: Region, leaders: Array, rng: np.random.Generator) -> Array:
        count, size = NEAR, leaders.shape[1]
        centre = leaders[rng.integers(len(leaders), size=count)]
        reach = np.exp(rng.uniform(math.log(0.005), math.log(0.5), (count, 1)))
        moved = centre + reach * (region.high - region.low) * rng.standard_normal((count, size))
        moved = np.clip(moved, region.low, region.high)
        fresh = region.stretch(rng.random((count, size)))
        moved = np.where(region.ordered, moved, fresh)
        changed = rng.random((count, size)) < np.maximum(rng.random((count, 1)), 1.5 / size)
        return np.where(changed, moved, centre)

    def _keep_allowed(self, rows: Array, region: Region) -> Array:
        rows = self.space.snap(rows)
        rows = rows[region.holds(rows) & self.space.is_feasible(rows)]
        return exclude(rows, self.tried)

    def _add(self, candidates: Candidates, more: Array) -> Candidates:
        region, rows, gains = candidates
        more = self._keep_allowed(more, region)
        if not len(more):
            return candidates
        return Candidates(
            region,
            np.concatenate([rows, more]),
            np.concatenate([gains, self.compute_gains(more)]),
        )

    def _climb(self, rows: Array, region: Region) -> Array:
        """Move points (points, parameters) up the gradient of the gain in the smooth parameters."""
        from scipy.optimize import minimize

        smooth = np.flatnonzero(self.smooth)
        points = rows.copy()

        def loss(flat: Array) -> tuple[float, Array]:
            points[:, smooth] = flat.reshape(len(rows), -1)
            mean, deviation, mean_slope, deviation_slope = self.surrogate.predict_slopes(points)
            gain, ratio = log_expected_improvement(mean, deviation, self.target)
            z = np.maximum((self.target - mean) / deviation, -1e4)
            gain, share = _average_logs(gain)
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

    def _step(self, candidates: Candidates) -> Candidates:
        """Add the neighbours of the best point in each coarse parameter while that helps."""
        for _ in range(COARSE_STEPS):
            top = int(np.argmax(candidates.gains))
            before = candidates.gains[top]
            candidates = self._add(candidates, self._list_neighbours(candidates.rows[top]))
            if candidates.gains.max() <= before + 1e-9:
                break
        return candidates

    def _list_neighbours(self, row: Array) -> Array:
        """(points, parameters): points that differ from this one in one coarse parameter."""
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


def _average_logs(gains: Array) -> tuple[Array, Array]:
    """Return the logarithm of a mean over the first axis of logarithms, and each one's share."""
    best = gains.max(axis=0)
    shares = np.exp(gains - best)
    total = shares.sum(axis=0)
    return best + np.log(total / len(gains)), shares / total
