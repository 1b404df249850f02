"""The interface between a search and what decides where it goes next."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from infinito.search.evidence import Evidence
from infinito.search.space.parameters import Array


class Strategy(Protocol):
    """Propose points from all trials so far.

    What a strategy proposes depends on its arguments alone, so a search that is rebuilt from its
    trials goes on as if it had never stopped.

    Attributes:
        initial_points: Trials of the Sobol sequence that come before the first proposal, the
            configured defaults not counted.
    """

    @property
    def initial_points(self) -> int: ...

    def propose(self, evidence: Evidence, rng: np.random.Generator) -> Array | None:
        """Return the next point.

        Args:
            evidence: All trials, at least one of them with a loss.
            rng: Generator of this proposal alone.

        Returns:
            (parameters,): A feasible point without a trial, or None to leave the choice to chance.
        """
        ...
