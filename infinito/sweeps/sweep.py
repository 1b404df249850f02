"""Runs a search: asks for trials, has them launched, journals every event before acting on it."""

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


@dataclass(frozen=True)
class Limits:
    """When a sweep ends. They may change when it is resumed."""

    n_trials: int
    n_jobs: int = 1
    """Trials in flight at once."""
    timeout_s: float | None = None
    """No trial is started after so long."""
    max_failure_rate: float = 0.3
    """The sweep stops once more than this share of `n_trials` has failed."""


@dataclass(frozen=True)
class Launch:
    """One launch of one trial; a trial that was in flight when a sweep was killed has another."""

    trial: Trial
    attempt: int

    @property
    def label(self) -> str:
        """Names it in the sweep's folder."""
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
        watch: Told after every event.
    """

    def __init__(
        self,
        search: Search,
        journal: Journal,
        launcher: Launcher,
        limits: Limits,
        watch: Callable[[Sweep], object] = lambda _: None,
    ) -> None:
        self.search = search
        self.journal = journal
        self.launcher = launcher
        self.limits = limits
        self.watch = watch
        self.started_s = time.monotonic()
        self.attempts = history.attempts_in(journal.events)
        self.seconds = history.seconds_in(journal.events)
        self.launched: list[Trial] = []

    @property
    def folder(self) -> Path:
        """Where the sweep writes."""
        return self.journal.path.parent

    @property
    def elapsed_s(self) -> float:
        """Since this process began to sweep."""
        return time.monotonic() - self.started_s

    def run(self) -> str:
        """Runs trials until a limit is reached.

        Returns:
            Why it ended.

        Raises:
            SweepError: More trials failed than allowed.
            SaveError: The journal could not be written.
        """
        self._take_over()
        while True:
            self._check_failures()
            running = [trial for trial in self.search.trials if trial.state == "running"]
            if not running and (reason := self._end()):
                return reason
            batch = running or self._asked()
            if not batch:
                count = len(self.search.trials)
                return f"every point of the space has been tried, in {count} trials"
            size = self.limits.n_jobs
            for start in range(0, len(batch), size):
                self._run(batch[start : start + size])

    def _end(self) -> str | None:
        limits = self.limits
        if len(self.search.trials) >= limits.n_trials:
            return f"{len(self.search.trials)} trials are done"
        if limits.timeout_s is not None and self.elapsed_s >= limits.timeout_s:
            return f"the {limits.timeout_s:g} s of `hydra.sweeper.timeout_s` are over"
        return None

    def _asked(self) -> list[Trial]:
        left = self.limits.n_trials - len(self.search.trials)
        batch = self.search.ask(min(self.limits.n_jobs, left))
        if batch:
            self.journal.append(history.asked(batch))
        return batch

    def _take_over(self) -> None:
        """Settles trials that ended while nobody watched."""
        for trial in self.search.trials:
            if trial.state != "running":
                continue
            for attempt in range(self.attempts[trial.number], 0, -1):
                outcome = read_outcome(self.folder, Launch(trial, attempt).label)
                if outcome is not None:
                    self._settle(trial, outcome)
                    break

    def _run(self, batch: Sequence[Trial]) -> None:
        """Launches a batch; a launcher's own failure is repeated trial by trial to find whose."""
        numbers = [trial.number for trial in batch]
        self.journal.append({"event": "start", "numbers": numbers})
        self.attempts.update(numbers)
        self.launched = list(batch)
        self.watch(self)
        launches = [Launch(trial, self.attempts[trial.number]) for trial in batch]
        fault = "the trial ended without an outcome"
        try:
            self.launcher(launches)
        except Exception as error:
            fault = f"the launcher failed: {type(error).__name__}: {error}"
        lost = []
        for launch in launches:
            outcome = read_outcome(self.folder, launch.label)
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
        self.watch(self)

    def _check_failures(self) -> None:
        failed = [trial for trial in self.search.trials if trial.state == "failed"]
        limits = self.limits
        if len(failed) <= limits.max_failure_rate * limits.n_trials + 1e-9:  # 0.29 · 100 < 29
            return
        errors = Counter(str(trial.error) for trial in failed).most_common(3)
        listed = "\n".join(f"  {count} × {error}" for error, count in errors)
        raise SweepError(
            f"{len(failed)} of {len(self.search.trials)} trials failed, more than "
            f"`hydra.sweeper.max_failure_rate`={limits.max_failure_rate:g} of "
            f"{limits.n_trials} allows:\n{listed}\n"
            "Mend the cause, or raise the rate, and go on with the same command and "
            f"`hydra.sweeper.resume={self.folder}`"
        )
