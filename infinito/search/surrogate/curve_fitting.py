"""A surrogate of learning curves: where in its training a score was taken is one more parameter.

A short training says as much about the end as the length scale of that parameter lets it, which the
trials that went on decide: much where those that lead stay ahead, little where they do not.

Source: Swersky, Snoek and Adams, Multi-Task Bayesian Optimization (2013), in which lengths of
trainings are tasks; here they are ordered, and share the kernel of the settings.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from infinito.search.evidence import Evidence
from infinito.search.scores import has_plateau, normalise
from infinito.search.space.parameters import Array
from infinito.search.space.space import Space
from infinito.search.surrogate.fitting import (
    FANTASIES,
    FEWEST,
    Fits,
    choose_informative,
    round_to_mark,
)
from infinito.search.surrogate.hyperparameters import EXACT, fit_theta, make_default_theta
from infinito.search.surrogate.surrogate import Surrogate

KEY = "curves"
"""Begins the names of fits."""


class CurveSurrogate:
    """A surrogate of settings and places in the training, asked about the end of the training.

    Args:
        inner: Its last parameter is the place, of which 1 is the end.
        rows: (trials, parameters): trials that have a score, or a fantasy of one.

    Attributes:
        scores: (trials,), or (trials, count) where some are fantasies: expected at the end.
    """

    def __init__(self, inner: Surrogate, rows: Array) -> None:
        self._inner = inner
        self.rows = rows
        self.scores = self.predict(rows)[0].T

    @property
    def noise(self) -> float:
        """Variance of the noise, as a share of the amplitude."""
        return self._inner.noise

    @property
    def amplitude(self) -> float:
        """Variance of the scores."""
        return self._inner.amplitude

    def predict(self, rows: Array) -> tuple[Array, Array]:
        """Return mean and deviation of the scores at the end; see `Surrogate.predict`."""
        return self._inner.predict(_place(rows, 1.0))

    def predict_slopes(self, rows: Array) -> tuple[Array, Array, Array, Array]:
        """Return the same with gradients; see `Surrogate.predict_slopes`."""
        mean, deviation, *slopes = self._inner.predict_slopes(_place(rows, 1.0))
        mean_slope, deviation_slope = (slope[..., :-1] for slope in slopes)
        return mean, deviation, mean_slope, deviation_slope


class CurveFitter:
    """Fit surrogates to the curves of a search.

    Args:
        space: Says which parameters have an order.
        fits: Hyper-parameters fitted before, by the number of scores; new ones are added.
    """

    def __init__(self, space: Space, fits: Fits | None = None) -> None:
        self.ordered = np.array([each.is_ordered for each in space.parameters] + [True])
        self.fits: Fits = {} if fits is None else fits

    def fit(self, evidence: Evidence, losses: Array, rng: np.random.Generator) -> CurveSurrogate:
        """Return the posterior; new trials without a score yet have some drawn from it.

        Args:
            evidence: All trials, with curves.
            losses: (trials,): those at the end, as far as they are known, or worst losses.
            rng: For the fantasies.
        """
        rows, scores = self._collect(evidence, losses)
        theta = self._fit_theta(rows, scores)
        chosen = choose_informative(scores)
        inner = Surrogate(rows[chosen], scores[chosen], self.ordered, theta)
        known = evidence.is_known
        if known.all():
            return CurveSurrogate(inner, evidence.rows)
        waiting = evidence.rows[~known]
        inner = inner.fantasise(_place(waiting, 1.0), FANTASIES, rng)
        return CurveSurrogate(inner, np.concatenate([evidence.rows[known], waiting]))

    def _collect(self, evidence: Evidence, losses: Array) -> tuple[Array, Array]:
        """Return settings and places (scores, parameters + 1) with their scores (scores,)."""
        curves = evidence.curves
        assert curves is not None
        failed: NDArray[np.int64] = np.flatnonzero(evidence.failed & evidence.is_known)
        trials = np.concatenate([curves.trials, failed])
        places = np.concatenate([curves.rungs, np.ones(len(failed))])
        rows = np.column_stack([evidence.rows[trials], places])
        return rows, normalise(np.concatenate([curves.losses, losses[failed]]))

    def _fit_theta(self, rows: Array, scores: Array) -> Array:
        """Fit at marks; the fit of a mark starts from the last one before."""
        mark = round_to_mark(len(scores))
        key = f"{KEY} {mark}"
        if key not in self.fits:
            if len(scores) < FEWEST or has_plateau(scores):
                return make_default_theta(rows.shape[1], EXACT)
            before = [fit for name, fit in self.fits.items() if _read_mark(name) < mark]
            start = np.array(before[-1]) if before else make_default_theta(rows.shape[1], EXACT)
            chosen = choose_informative(scores)
            fitted = fit_theta(rows[chosen], scores[chosen], self.ordered, start, EXACT)
            self.fits[key] = fitted.tolist()
        return np.array(self.fits[key])


def _read_mark(name: str) -> float:
    """Return the mark of a fit of curves; infinity for a fit of another kind."""
    kind, _, mark = name.partition(" ")
    return int(mark) if kind == KEY else np.inf


def _place(rows: Array, place: float) -> Array:
    return np.column_stack([rows, np.full(len(rows), place)])
