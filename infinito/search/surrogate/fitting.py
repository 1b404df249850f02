"""Surrogates of a search: hyper-parameters fitted at fixed counts, fantasies for running trials."""

from __future__ import annotations

import hashlib
import math

import numpy as np
from numpy.typing import NDArray

from infinito.search.evidence import Evidence
from infinito.search.scores import has_plateau, normalise
from infinito.search.space.parameters import Array
from infinito.search.space.space import Space
from infinito.search.surrogate.hyperparameters import (
    EXACT,
    NoisePrior,
    fit_theta,
    make_default_theta,
)
from infinito.search.surrogate.surrogate import Surrogate

FANTASIES = 16
"""Draws of the scores that running trials may yet have."""

FEWEST = 6
"""Trials with a loss before hyper-parameters are fitted."""

MOST = 200
"""Trials that a surrogate learns from at most."""

FIRST_MARK, MARK_RATIO = 20, 1.08
"""Hyper-parameters are fitted at every trial up to the first mark, then at marks 8 % apart."""


Fits = dict[str, list[float]]
"""Fitted hyper-parameters by a digest of the trials that they were fitted to."""


class SurrogateFitter:
    """Fit surrogates to the evidence of a search; remember fits, which evidence alone determines.

    Args:
        space: Says which parameters have an order.
        fits: Hyper-parameters fitted before; new ones are added.
        prior: Of the noise in the scores.
    """

    def __init__(
        self,
        space: Space,
        fits: Fits | None = None,
        prior: NoisePrior = EXACT,
    ) -> None:
        self.prior = prior
        self.ordered = np.array([parameter.is_ordered for parameter in space.parameters])
        self.fits: Fits = {} if fits is None else fits

    def fit(self, evidence: Evidence, losses: Array, rng: np.random.Generator) -> Surrogate:
        """Return the posterior; trials that are still running have scores drawn from it.

        Args:
            evidence: All trials.
            losses: (trials,): one for each, NaN while it is running.
            rng: For the fantasies.
        """
        known = evidence.is_known
        theta = self._fit_theta(evidence, round_to_mark(evidence.count_settled()))
        scores = normalise(losses[known])
        chosen = choose_informative(scores)
        rows = evidence.rows[known][chosen]
        surrogate = Surrogate(rows, scores[chosen], self.ordered, theta)
        if known.all():
            return surrogate
        return surrogate.fantasise(evidence.rows[~known], FANTASIES, rng)

    def _fit_theta(self, evidence: Evidence, mark: int) -> Array:
        """Fit to the trials before a mark, starting from the fit at the mark before."""
        first = evidence.take_first(mark)
        digest = hashlib.blake2b(first.rows.tobytes() + first.losses.tobytes(), digest_size=12)
        key = digest.hexdigest()
        if key not in self.fits:
            known = first.is_known
            losses = first.scalarise()[known]
            if len(losses) < FEWEST or has_plateau(losses):
                return make_default_theta(first.rows.shape[1], self.prior)
            start = self._fit_theta(evidence, round_to_mark(mark - 1))
            scores = normalise(losses)
            chosen = choose_informative(scores)
            rows = first.rows[known][chosen]
            fitted = fit_theta(rows, scores[chosen], self.ordered, start, self.prior)
            self.fits[key] = fitted.tolist()
        return np.array(self.fits[key])


def choose_informative(scores: Array) -> NDArray[np.int64]:
    """Return the indices of the trials that a surrogate learns from, in their order.

    All of them up to `MOST`; of more, the better ones make up one half and the others are taken at
    equal distances in the order of the trials, so that a proposal costs no more.

    Args:
        scores: (trials,), less is better.
    """
    if len(scores) <= MOST:
        return np.arange(len(scores))
    better, others = np.split(np.argsort(scores, kind="stable"), [MOST // 2])
    spread = np.linspace(0, len(others) - 1, MOST - len(better)).round().astype(int)
    return np.sort(np.concatenate([better, np.sort(others)[spread]]))


def round_to_mark(count: int) -> int:
    """Return the greatest mark up to a number of trials."""
    if count < FIRST_MARK:
        return count
    mark = FIRST_MARK
    while math.ceil(mark * MARK_RATIO) <= count:
        mark = math.ceil(mark * MARK_RATIO)
    return mark
