"""One step of the tree search: selection, simulation, and which of both has the last word."""

from __future__ import annotations

import math

import numpy as np

from infinito.search.evidence import Evidence
from infinito.search.parameters import Array
from infinito.search.playout import Playout
from infinito.search.regions import Region
from infinito.search.sampling import Sampler
from infinito.search.scores import normalised
from infinito.search.surrogate import Surrogate, default_theta, fit
from infinito.search.tree import grow, path

LEADERS = 5
"""Best trials whose neighbourhoods a play-out looks at closely."""

PATIENCE = 2.0
"""A leaf is played only if its promise is within so many nats of the whole space's."""


class Planner:
    """Proposes points from evidence; it remembers fits, which are functions of evidence alone.

    Args:
        sampler: Draws points of the space.
        selection: See `tree.path`.
        exploration: See `tree.path`.
        max_depth: See `tree.grow`.
    """

    def __init__(
        self, sampler: Sampler, selection: str, exploration: float, max_depth: int
    ) -> None:
        self.sampler = sampler
        self.space = sampler.space
        self.selection = selection
        self.exploration = exploration
        self.max_depth = max_depth
        self.ordered = np.array([p.is_ordered for p in self.space.parameters])
        self._fits: dict[tuple[bytes, bytes], Array] = {}

    def propose(self, evidence: Evidence, rng: np.random.Generator) -> Array | None:
        """The next point, or None if no candidate is left."""
        playout, scores = self._simulation(evidence)
        whole = Region.whole(self.space)
        everywhere = playout.candidates(whole, self._leaders(whole, evidence.rows, scores), rng)
        leaf = self._leaf(evidence)
        if leaf is not None:
            here = playout.candidates(leaf, self._leaders(leaf, evidence.rows, scores), rng)
            if len(here[1]) and here[1].max() >= everywhere[1].max() - PATIENCE:
                return playout.best(leaf, *here)
        return playout.best(whole, *everywhere) if len(everywhere[0]) else None

    def _leaf(self, evidence: Evidence) -> Region | None:
        """Where the walk down the tree ends; None while the tree is a root alone."""
        root = grow(self.space, evidence.rows, evidence.rewards(), self.max_depth)
        return path(root, self.selection, self.exploration)[-1].region if root.children else None

    def _leaders(self, region: Region, rows: Array, scores: Array) -> Array:
        inside = np.flatnonzero(region.holds(rows))
        return rows[inside[np.argsort(scores[inside], kind="stable")[:LEADERS]]]

    def _simulation(self, evidence: Evidence) -> tuple[Playout, Array]:
        """The play-out, and a score for each trial: for a running one what it is believed to be."""
        known = evidence.is_known
        scores = np.zeros(len(known))
        scores[known] = normalised(evidence.losses[known])
        theta = self._theta(evidence)
        surrogate = Surrogate(evidence.rows[known], scores[known], self.ordered, theta)
        if not known.all():
            scores[~known] = surrogate.predict(evidence.rows[~known])[0]
            surrogate = Surrogate(evidence.rows, scores, self.ordered, theta)
        target = float(scores.min())
        return Playout(surrogate, target, self.sampler, evidence.rows), scores

    def _theta(self, evidence: Evidence) -> Array:
        """Hyper-parameters from the first trials, up to the latest of growing marks."""
        first = _mark(len(evidence.losses))
        known = evidence.is_known[:first]
        rows, losses = evidence.rows[:first][known], evidence.losses[:first][known]
        if len(losses) < 2:
            return default_theta(rows.shape[1])
        key = rows.tobytes(), losses.tobytes()
        if key not in self._fits:
            start = default_theta(rows.shape[1])
            self._fits = {key: fit(rows, normalised(losses), self.ordered, start)}
        return self._fits[key]


def _mark(count: int) -> int:
    """The greatest mark up to a number of trials: marks lie 8 % apart, from 20 on."""
    if count < 20:
        return count
    mark = 20
    while math.ceil(mark * 1.08) <= count:
        mark = math.ceil(mark * 1.08)
    return mark
