"""Trials of a smooth function with its minimum at x = 0.4, y = 0.7 and the first category."""

from __future__ import annotations

import math

import numpy as np

from infinito.search.evidence import Evidence
from infinito.search.space.parameters import Array
from infinito.search.space.sampling import Sampler
from infinito.search.space.space import Categorical, Float, Int, Space
from infinito.search.surrogate.fitting import SurrogateFitter
from infinito.search.surrogate.playout import Playout

SPACE = Space([Float("x", 0, 1), Float("y", 0, 1), Categorical("c", ["a", "b"]), Int("n", 1, 4)])


def make_evidence(count: int, seed: int = 0) -> Evidence:
    rows = SPACE.snap(np.random.default_rng(seed).random((count, 4)))
    losses = (rows[:, 0] - 0.4) ** 2 + (rows[:, 1] - 0.7) ** 2 + 0.3 * (rows[:, 2] > 0.5)
    return Evidence(rows, losses[:, None], np.arange(count), np.zeros(count, dtype=bool))


def with_running(evidence: Evidence, *rows: Array) -> Evidence:
    count = len(evidence.rows) + len(rows)
    return Evidence(
        np.concatenate([evidence.rows, rows]),
        np.concatenate([evidence.table, np.full((len(rows), 1), math.nan)]),
        np.arange(count),
        np.zeros(count, dtype=bool),
    )


def make_playout(evidence: Evidence) -> Playout:
    rng = np.random.default_rng(0)
    surrogate = SurrogateFitter(SPACE).fit(evidence, evidence.scalarise(), rng)
    return Playout(surrogate, Sampler(SPACE, 0), evidence.rows)
