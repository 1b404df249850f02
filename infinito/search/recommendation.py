"""Which point to use after a noisy search: the one that the surrogate believes in most."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from infinito.search.evidence import Evidence
from infinito.search.space.space import Space
from infinito.search.surrogate.fitting import Fits, SurrogateFitter
from infinito.search.surrogate.hyperparameters import NOISY
from infinito.search.trials import Trial


def recommend(
    trials: Sequence[Trial], evidence: Evidence, space: Space, fits: Fits
) -> Trial | None:
    """Return the first trial of the point with the best posterior mean.

    Args:
        trials: The search's own; only points with a finished one can be recommended.
        evidence: All trials, those of earlier searches first.
        space: What is searched.
        fits: Hyper-parameters that were fitted before; new ones are added.

    Returns:
        The trial, or None where none has finished.
    """
    finished = np.array([trial.state == "finished" for trial in trials], dtype=bool)
    if not finished.any():
        return None
    losses = evidence.scalarise()
    ended = evidence.take_where(evidence.is_known)
    surrogate = SurrogateFitter(space, fits, NOISY).fit(
        ended, losses[evidence.is_known], np.random.default_rng(0)
    )
    rows = evidence.rows[len(evidence.rows) - len(trials) :]
    means = np.where(finished, surrogate.predict(rows)[0], np.inf)
    best = rows[int(np.argmin(means))]
    return trials[int(np.flatnonzero((rows == best).all(axis=1))[0])]
