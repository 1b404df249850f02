"""Launches of trials, and the limits within which they are made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

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


def describe_failures(
    trials: Sequence[Trial], limits: Limits, folder: Path, hints: Sequence[str]
) -> str:
    """Return why too many trials failed, and what to do.

    Args:
        trials: All of the search.
        limits: Those that failures have exceeded.
        folder: The sweep's.
        hints: What may be wrong with the space.
    """
    failed = [trial for trial in trials if trial.state == "failed"]
    errors = Counter(str(trial.error) for trial in failed).most_common(3)
    listed = "\n".join(f"  {count} × {error}" for error, count in errors)
    hinted = "".join(f"\n{hint}" for hint in hints)
    return (
        f"{len(failed)} of {len(trials)} trials failed, more than "
        f"`hydra.sweeper.max_failure_rate`={limits.max_failure_rate:g} of "
        f"{limits.n_trials} allows:\n{listed}{hinted}\n"
        "Mend the cause, or raise the rate, and go on with the same command and "
        f"`hydra.sweeper.resume={folder}`"
    )
