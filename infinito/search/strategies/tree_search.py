"""One step of the tree search: selection, simulation, and which of both has the last word."""

from __future__ import annotations

import math

import numpy as np

from infinito.search.evidence import Evidence, rewards
from infinito.search.regions import Region
from infinito.search.scores import normalised
from infinito.search.space.parameters import Array
from infinito.search.space.sampling import Sampler
from infinito.search.strategies.tree import Node, grow, path
from infinito.search.surrogate.hyperparameters import default_theta, fit
from infinito.search.surrogate.playout import Playout
from infinito.search.surrogate.surrogate import Surrogate

LEADERS = 5
"""Best trials whose neighbourhoods a play-out looks at closely."""

PATIENCE, PATIENT_FROM = 1.0, 50
"""Nats of promise that a leaf may lack to be played, for each e-fold of trials beyond 50."""

FANTASIES = 16
"""Draws of the scores that running trials may yet have."""

FEWEST = 6
"""Trials with a loss before hyper-parameters are fitted."""


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
        losses = evidence.losses(rng)
        surrogate = self._surrogate(evidence, losses, rng)
        playout = Playout(surrogate, self.sampler)
        whole = Region.whole(self.space)
        everywhere = playout.candidates(whole, _leaders(whole, surrogate), rng)
        leaf = self._leaf(evidence.rows, losses, *everywhere)
        if leaf is not None:
            here = playout.candidates(leaf, _leaders(leaf, surrogate), rng)
            if len(here[1]) and here[1].max() >= everywhere[1].max() - patience(len(losses)):
                return playout.best(leaf, *here)
        return playout.best(whole, *everywhere) if len(everywhere[0]) else None

    def _leaf(self, rows: Array, losses: Array, candidates: Array, gains: Array) -> Region | None:
        """Where the walk down the tree ends; None while the tree is a root alone."""
        root = grow(self.space, rows, rewards(losses), self.max_depth)
        if not root.children:
            return None

        def shares(node: Node) -> Array:
            """(children,): how the best promise of each compares with that of the others."""
            best = np.array(
                [gains[c.region.holds(candidates)].max(initial=-1e3) for c in node.children]
            )
            return np.exp(best - best.max()) / np.exp(best - best.max()).sum()

        return path(root, self.selection, self.exploration, shares)[-1].region

    def _surrogate(self, evidence: Evidence, losses: Array, rng: np.random.Generator) -> Surrogate:
        """The posterior; trials that are still running have scores drawn from it."""
        known = evidence.is_known
        theta = self._theta(evidence, _mark(len(known)))
        scores = normalised(losses[known])
        surrogate = Surrogate(evidence.rows[known], scores, self.ordered, theta)
        if known.all():
            return surrogate
        return surrogate.fantasised(evidence.rows[~known], FANTASIES, rng)

    def _theta(self, evidence: Evidence, mark: int) -> Array:
        """Hyper-parameters of the trials before a mark, climbing from those of the mark before."""
        first = evidence.first(mark)
        key = first.rows.tobytes(), first.table.tobytes()
        if key not in self._fits:
            known = first.is_known
            if known.sum() < FEWEST:
                return default_theta(first.rows.shape[1])
            start = self._theta(evidence, _mark(mark - 1))
            scores = normalised(first.losses()[known])
            self._fits[key] = fit(first.rows[known], scores, self.ordered, start)
        return self._fits[key]


def _leaders(region: Region, surrogate: Surrogate) -> Array:
    """(points, parameters): the best trials of a region, by their mean scores."""
    inside = np.flatnonzero(region.holds(surrogate.rows))
    scores = surrogate.scores.reshape(len(surrogate.rows), -1)[inside].mean(axis=1)
    return surrogate.rows[inside[np.argsort(scores, kind="stable")[:LEADERS]]]


def patience(trials: int) -> float:
    """By how many nats the promise of a leaf may fall short of the whole space's to be played."""
    return PATIENCE * math.log(max(trials / PATIENT_FROM, 1.0))


def _mark(count: int) -> int:
    """The greatest mark up to a number of trials: marks lie 8 % apart, from 20 on."""
    if count < 20:
        return count
    mark = 20
    while math.ceil(mark * 1.08) <= count:
        mark = math.ceil(mark * 1.08)
    return mark
