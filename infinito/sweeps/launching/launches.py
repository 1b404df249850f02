"""Launches of trials, and the limits within which they are made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from infinito.search.trials import Trial


@dataclass(frozen=True)
class Limits:
    """When a sweep ends. A resumed sweep may have others."""

    n_trials: int
    n_jobs: int = 1
    """Trials in flight at once."""
    timeout_s: float | None = None
    """No trial is started later than this."""
    max_failure_rate: float = 0.3
    """The sweep stops once more than this share of `n_trials` has failed."""
    confirm: int = 0
    """Fresh seeds with which the recommended setting and the defaults are compared at the end."""


@dataclass(frozen=True)
class Launch:
    """One launch of one trial.

    A trial that has paused has several, and one that was in flight when a sweep was killed.
    """

    trial: Trial
    attempt: int

    @property
    def label(self) -> str:
        """Its name in the sweep's folder."""
        number = self.trial.number
        return f"{number}" if self.attempt == 1 else f"{number}.{self.attempt}"


Launcher = Callable[[Sequence[Launch]], object]
"""Runs trials and returns when all have ended; each leaves its outcome in the sweep's folder."""
