"""A search at work: trials are proposed, launched and settled; every event is journaled first."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from infinito.errors import SweepError
from infinito.search.search import Search
from infinito.search.trials import Trial
from infinito.sweeps.record import history
from infinito.sweeps.record.journal import Journal
from infinito.sweeps.record.outcomes import Outcome, read_outcome
from infinito.sweeps.record.resuming import list_launches


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


@dataclass(frozen=True)
class Launch:
    """One launch of one trial; a trial that was in flight when a sweep was killed has several."""

    trial: Trial
    attempt: int

    @property
    def label(self) -> str:
        """Its name in the sweep's folder."""
        number = self.trial.number
        return f"{number}" if self.attempt == 1 else f"{number}.{self.attempt}"


Launcher = Callable[[Sequence[Launch]], object]
"""Runs trials and returns when all have ended; each leaves its outcome in the sweep's folder."""


class Sweep:
    """A search on its way to its limits.

    Args:
        search: Proposes; its trials are those of the journal.
        journal: Open for writing.
        launcher: Runs a batch.
        limits: When to end.
        hints: What may be wrong with the space, to be added where too many trials fail.

    Attributes:
        watch: Called after every event.
        attempts: How often each trial was launched, by number.
        seconds: How long each trial took, by number.
        launched: Trials that are running now.
    """

    def __init__(
        self,
        search: Search,
        journal: Journal,
        launcher: Launcher,
        limits: Limits,
        hints: Sequence[str] = (),
    ) -> None:
        self.search = search
        self.journal = journal
        self.launcher = launcher
        self.limits = limits
        self.hints = hints
        self.watch: Callable[[], object] = lambda: None
        self.started_s = time.monotonic()
        self.attempts = history.count_attempts(journal.events)
        for number, attempt in list_launches(self.folder):  # more where a journal was rolled back
            self.attempts[number] = max(self.attempts[number], attempt)
        self.seconds = history.read_seconds(journal.events)
        self.launched: list[Trial] = []

    @property
    def folder(self) -> Path:
        """Where the sweep writes."""
        return self.journal.path.parent

    @property
    def elapsed_s(self) -> float:
        """Seconds since this process began to sweep."""
        return time.monotonic() - self.started_s

    def run(self) -> str:
        """Run trials until a limit is reached.

        Returns:
            Why it ended.

        Raises:
            SweepError: More trials failed than allowed.
            SaveError: The journal could not be written.
        """
        self._settle_ended()
        while True:
            self._check_failures()
            running = [trial for trial in self.search.trials if trial.state == "running"]
            if not running and (reason := self._find_end()):
                return reason
            batch = running or self._ask()
            if not batch:
                count = len(self.search.trials)
                return f"every point of the space has been tried, in {count} trials"
            size = self.limits.n_jobs
            for start in range(0, len(batch), size):
                self._run(batch[start : start + size])

    def _find_end(self) -> str | None:
        limits = self.limits
        if len(self.search.trials) >= limits.n_trials:
            return f"{len(self.search.trials)} trials are done"
        if limits.timeout_s is not None and self.elapsed_s >= limits.timeout_s:
            return f"the {limits.timeout_s:g} s of `hydra.sweeper.timeout_s` are over"
        return None

    def _ask(self) -> list[Trial]:
        left = self.limits.n_trials - len(self.search.trials)
        batch = self.search.ask(min(self.limits.n_jobs, left))
        if batch:
            self.journal.append(history.make_ask_event(batch))
        return batch

    def _settle_ended(self) -> None:
        """Settle trials that ended after an earlier process of this sweep was killed."""
        for trial in self.search.trials:
            if trial.state != "running":
                continue
            for attempt in range(self.attempts[trial.number], 0, -1):
                outcome = self._read_outcome(Launch(trial, attempt))
                if outcome is not None:
                    self._settle(trial, outcome)
                    break

    def _read_outcome(self, launch: Launch) -> Outcome | None:
        return read_outcome(self.folder, launch.label, len(self.search.directions))

    def _run(self, batch: Sequence[Trial]) -> None:
        """Launch a batch; where the launcher itself fails, trial by trial, to find the cause."""
        numbers = [trial.number for trial in batch]
        self.journal.append({"event": "start", "numbers": numbers})
        self.attempts.update(numbers)
        self.launched = list(batch)
        self.watch()
        launches = [Launch(trial, self.attempts[trial.number]) for trial in batch]
        fault = "the trial ended without an outcome"
        try:
            self.launcher(launches)
        except Exception as error:
            fault = f"the launcher failed: {type(error).__name__}: {error}"
        lost = []
        for launch in launches:
            outcome = self._read_outcome(launch)
            if outcome is None and len(batch) > 1:
                lost.append(launch.trial)
            else:
                self._settle(launch.trial, outcome or Outcome(error=fault))
        for trial in lost:
            self._run([trial])

    def _settle(self, trial: Trial, outcome: Outcome) -> None:
        event = {"number": trial.number, "seconds": outcome.seconds}
        if outcome.values is not None:
            self.journal.append({"event": "finish", **event, "values": outcome.values})
        else:
            self.journal.append({"event": "fail", **event, "error": outcome.error})
        if outcome.seconds is not None:
            self.seconds[trial.number] = outcome.seconds
        self.search.tell(trial.number, outcome.values, outcome.error)
        self.launched = [each for each in self.launched if each is not trial]
        self.watch()

    def _check_failures(self) -> None:
        failed = [trial for trial in self.search.trials if trial.state == "failed"]
        limits = self.limits
        if len(failed) <= limits.max_failure_rate * limits.n_trials + 1e-9:  # 0.29 · 100 < 29
            return
        errors = Counter(str(trial.error) for trial in failed).most_common(3)
        listed = "\n".join(f"  {count} × {error}" for error, count in errors)
        hints = "".join(f"\n{hint}" for hint in self.hints)
        raise SweepError(
            f"{len(failed)} of {len(self.search.trials)} trials failed, more than "
            f"`hydra.sweeper.max_failure_rate`={limits.max_failure_rate:g} of "
            f"{limits.n_trials} allows:\n{listed}{hints}\n"
            "Mend the cause, or raise the rate, and go on with the same command and "
            f"`hydra.sweeper.resume={self.folder}`"
        )
