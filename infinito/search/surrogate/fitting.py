"""Surrogates of a search: hyper-parameters fitted at fixed counts, fantasies for running trials."""

from __future__ import annotations

import math

import numpy as np

from infinito.search.evidence import Evidence
from infinito.search.scores import normalise
from infinito.search.space.parameters import Array
from infinito.search.space.space import Space
from infinito.search.surrogate.hyperparameters import fit_theta, make_default_theta
from infinito.search.surrogate.surrogate import Surrogate

FANTASIES = 16
"""Draws of the scores that running trials may yet have."""

FEWEST = 6
"""Trials with a loss before hyper-parameters are fitted."""

FIRST_MARK, MARK_RATIO = 20, 1.08
"""Hyper-parameters are fitted at every trial up to the first mark, then at marks 8 % apart."""


class SurrogateFitter:
    """Fit surrogates to the evidence of a search; remember fits, which evidence alone determines.

    Args:
        space: Says which parameters have an order.
    """

    def __init__(self, space: Space) -> None:
        self.ordered = np.array([parameter.is_ordered for parameter in space.parameters])
        self._thetas: dict[tuple[bytes, bytes], Array] = {}

    def fit(self, evidence: Evidence, losses: Array, rng: np.random.Generator) -> Surrogate:
        """Return the posterior; trials that are still running have scores drawn from it.

        Args:
            evidence: All trials.
            losses: (trials,): one for each, NaN while it is running.
            rng: For the fantasies.
        """
        known = evidence.is_known
        theta = self._fit_theta(evidence, _round_to_mark(len(known)))
        scores = normalise(losses[known])
        surrogate = Surrogate(evidence.rows[known], scores, self.ordered, theta)
        if known.all():
            return surrogate
        return surrogate.fantasise(evidence.rows[~known], FANTASIES, rng)

    def _fit_theta(self, evidence: Evidence, mark: int) -> Array:
        """Fit to the trials before a mark, starting from the fit at the mark before."""
        first = evidence.take_first(mark)
        key = first.rows.tobytes(), first.table.tobytes()
        if key not in self._thetas:
            known = first.is_known
            if known.sum() < FEWEST:
                return make_default_theta(first.rows.shape[1])
            start = self._fit_theta(evidence, _round_to_mark(mark - 1))
            scores = normalise(first.scalarise()[known])
            self._thetas[key] = fit_theta(first.rows[known], scores, self.ordered, start)
        return self._thetas[key]


def _round_to_mark(count: int) -> int:
    """Return the greatest mark up to a number of trials."""
    if count < FIRST_MARK:
        return count
    mark = FIRST_MARK
    while math.ceil(mark * MARK_RATIO) <= count:
        mark = math.ceil(mark * MARK_RATIO)
    return mark
