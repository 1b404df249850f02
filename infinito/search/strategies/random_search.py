"""Random search: uniform draws of the space, as a yardstick."""

from __future__ import annotations

import numpy as np

from infinito.search.evidence import Evidence
from infinito.search.space.parameters import Array
from infinito.search.space.sampling import Sampler


class RandomSearch:
    """Propose points by chance, whatever the trials say.

    Args:
        sampler: Draws points of the space.
    """

    initial_points = 0

    def __init__(self, sampler: Sampler) -> None:
        self.sampler = sampler

    def propose(self, evidence: Evidence, rng: np.random.Generator) -> Array | None:
        """Return a point without a trial, or None once every point has one."""
        drawn = self.sampler.draw_untried(rng, 1, evidence.rows)
        return drawn[0] if len(drawn) else None
