"""A search at work: trials are proposed, launched and settled; every event is journaled first."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from infinito.errors import SweepError
from infinito.search.search import Search
from infinito.search.trials import Trial
from infinito.sweeps.driving.proposing import Proposals
from infinito.sweeps.fidelity import find_state
from infinito.sweeps.launching.lanes import Lanes
from infinito.sweeps.launching.launches import Launch, Launcher, Limits, describe_failures
from infinito.sweeps.launching.trial_faults import WorkerLost, describe_loss
from infinito.sweeps.record import history
from infinito.sweeps.record.journal import Journal
from infinito.sweeps.record.outcomes import Outcome, read_outcome
from infinito.sweeps.record.resuming import list_launches
from infinito.wording import format_count


class Sweep:
    """A search on its way to its limits.

    Args:
        search: Proposes; its trials are those of the journal.
        journal: Open for writing.
        launcher: Runs a batch.
        limits: When to end.
        lanes: Where trials run one by one; None to run them in batches by `launcher`.
        hints: What may be wrong with the space, to be added where too many trials fail.

    Attributes:
        watch: Called after every event.
        attempts: How often each trial was launched, by number.
        settled: How many of these came before its last score or failure.
        seconds: How long each trial took, by number.
        launched: Trials that this process runs now.
        signature: What the journal tells of this process where it starts a trial.
    """

    def __init__(
        self,
        search: Search,
        journal: Journal,
        launcher: Launcher,
        limits: Limits,
        hints: Sequence[str] = (),
        lanes: Lanes | None = None,
    ) -> None:
        self.search = search
        self.journal = journal
        self.launcher = launcher
        self.limits = limits
        self.hints = hints
        self.lanes = lanes
        self.watch: Callable[[], object] = lambda: None
        self.signature: dict[str, str] = {}
        self.started_s = time.monotonic()
        self.attempts = history.count_attempts(journal.events)
        for number, attempt in list_launches(self.folder):  # more where a journal was rolled back
            self.attempts[number] = max(self.attempts[number], attempt)
        self.seconds = history.read_seconds(journal.events)
        self.settled = history.count_settled_attempts(journal.events)
        self._proposals = Proposals(search, journal, limits)
        self.launched: list[Trial] = []
        self._crowded: set[int] = set()  # trials that were in flight beside others
        self._lost: list[Trial] = []  # those of them whose launch left no outcome
        self._must_be_alone = False  # the next trial, or the one in flight
        self._losses: Counter[int] = Counter()  # of each trial's workers, by number
        self._busy_s = 0.0

    @property
    def folder(self) -> Path:
        """Where the sweep writes."""
        return self.journal.path.parent

    @property
    def elapsed_s(self) -> float:
        """Seconds since this process began to sweep."""
        return time.monotonic() - self.started_s

    @property
    def workers(self) -> int:
        """How many trials may run at once."""
        return self.limits.n_jobs if self.lanes is None else self.lanes.count

    @property
    def busy_share(self) -> float:
        """Share of the workers' time since this process began that went into trials that ended."""
        return self._busy_s / max(self.workers * self.elapsed_s, 1e-9)

    def run(self) -> str:
        """Run trials until a limit is reached.

        Returns:
            Why it ended.

        Raises:
            SweepError: More trials failed than allowed.
            SaveError: The journal could not be written.
        """
        self._settle_ended()
        return self._describe(
            self._run_batches() if self.lanes is None else self._run_lanes(self.lanes)
        )

    def turn(self) -> AbstractContextManager[object]:
        """Take a turn at the journal; its only driver always has it."""
        return self.journal.turn()

    def _describe(self, reason: str) -> str:
        """Return why the sweep ended, and what became of its workers."""
        if lost := self._losses.total():
            reason += f"; {format_count(lost, 'worker')} lost, see its journal"
        if self.workers == 1:
            return reason
        return f"{reason}; the {self.workers} workers were {self.busy_share:.0%} busy"

    def _run_batches(self) -> str:
        while True:
            self._check_failures()
            running = self._list_running()
            if not running and self._is_late:
                return self._describe_lateness()
            batch = running or self._proposals.take(self.limits.n_jobs, is_idle=True)
            if not batch:
                return self._proposals.describe_end()
            size = self.limits.n_jobs
            for start in range(0, len(batch), size):
                self._run(batch[start : start + size])

    def _run_lanes(self, lanes: Lanes) -> str:
        waiting = self._list_waiting()
        while True:
            end = self._fill(lanes, waiting)
            if not self.launched:
                self._check_failures()
                return end
            self._take_result(*lanes.wait(), waiting)

    def _fill(self, lanes: Lanes, waiting: list[Trial]) -> str:
        """Start trials until no lane is free, or none may be started; return why in that case.

        A launcher that broke with several trials in flight runs those again, one at a time.

        Args:
            lanes: Where trials run.
            waiting: Trials that an earlier process of this sweep had in flight; those that are
                started are taken out.
        """
        while len(self.launched) < lanes.count and not (self.launched and self._must_be_alone):
            if self._fails_too_often:
                return "too many trials failed"
            self._must_be_alone = bool(self._lost)
            if self._lost:
                trial = self._lost.pop(0)
            elif waiting:
                trial = waiting.pop(0)
            elif self._is_late:
                return self._describe_lateness()
            elif batch := self._proposals.take(1, is_idle=not self._list_running()):
                trial, *more = batch
                waiting += more
            else:
                return self._proposals.describe_end()
            (launch,) = self._start([trial])
            lanes.start(launch)
        return ""

    def _take_result(
        self, launch: Launch, fault: BaseException | None, waiting: list[Trial]
    ) -> None:
        """Settle a trial that has ended; one whose worker was lost waits to run again."""
        if fault is not None and not isinstance(fault, Exception):
            raise fault
        trial, outcome = launch.trial, self._read_outcome(launch)
        queue = None
        if outcome is None and isinstance(fault, WorkerLost):
            queue = waiting if self._note_loss(trial, fault) else None
        elif outcome is None and trial.number in self._crowded:
            queue = self._lost
        if queue is not None:
            queue.append(trial)
            self._must_be_alone = bool(self._lost)
            self._leave(trial)
            return
        self._settle(trial, outcome or Outcome(error=describe_loss(fault)))

    def _list_waiting(self) -> list[Trial]:
        """Return the running trials that no process has: it was killed."""
        return self._list_running()

    def _list_running(self) -> list[Trial]:
        return [trial for trial in self.search.trials if trial.state == "running"]

    @property
    def _is_late(self) -> bool:
        limit_s = self.limits.timeout_s
        return limit_s is not None and self.elapsed_s >= limit_s

    def _describe_lateness(self) -> str:
        return f"the {self.limits.timeout_s:g} s of `hydra.sweeper.timeout_s` are over"

    def _settle_ended(self) -> None:
        """Settle trials that ended although the process that had them was killed."""
        for trial in self._list_waiting():
            for attempt in range(self.attempts[trial.number], self.settled[trial.number], -1):
                outcome = self._read_outcome(Launch(trial, attempt))
                if outcome is not None:
                    self._settle(trial, outcome)
                    break

    def _read_outcome(self, launch: Launch) -> Outcome | None:
        return read_outcome(self.folder, launch.label, len(self.search.directions))

    def _start(self, batch: Sequence[Trial]) -> list[Launch]:
        """Journal that these trials start beside those in flight; return their launches."""
        numbers = [trial.number for trial in batch]
        self.journal.append({"event": "start", "numbers": numbers, **self.signature})
        self.attempts.update(numbers)
        self.launched = [*self.launched, *batch]
        together = {trial.number for trial in self.launched}
        self._crowded -= set(numbers)
        self._crowded |= together if len(together) > 1 else set()
        self.watch()
        return [Launch(trial, self.attempts[trial.number]) for trial in batch]

    def _run(self, batch: Sequence[Trial]) -> None:
        """Launch a batch; where the launcher itself fails, trial by trial, to find the cause."""
        launches = self._start(batch)
        fault = None
        try:
            self.launcher(launches)
        except Exception as error:
            fault = error
        lost = []
        for launch in launches:
            outcome, is_repeated = self._read_outcome(launch), len(batch) > 1
            if outcome is None and isinstance(fault, WorkerLost):
                is_repeated = self._note_loss(launch.trial, fault)
            if outcome is None and is_repeated:
                lost.append(launch.trial)
            else:
                self._settle(launch.trial, outcome or Outcome(error=describe_loss(fault)))
        for trial in lost:
            self._leave(trial)
            self._run([trial])

    def _note_loss(self, trial: Trial, fault: WorkerLost) -> bool:
        """Journal the loss of a trial's worker; return whether to run the trial again."""
        self.journal.append({"event": "lost", "number": trial.number, "error": str(fault)})
        self._losses[trial.number] += 1
        return self._losses[trial.number] <= fault.retries

    def _settle(self, trial: Trial, outcome: Outcome) -> None:
        event = {"number": trial.number, "seconds": outcome.seconds}
        if outcome.values is not None:
            kind = "finish" if self.search.is_whole(trial) else "pause"
            self.journal.append({"event": kind, **event, "values": outcome.values})
        else:
            self.journal.append({"event": "fail", **event, "error": outcome.error})
        if outcome.seconds is not None:
            self.seconds[trial.number] = self.seconds.get(trial.number, 0.0) + outcome.seconds
            self._busy_s += outcome.seconds
        self.search.tell(trial.number, outcome.values, outcome.error)
        self.settled[trial.number] = self.attempts[trial.number]
        if trial.curve:
            self._drop_states([] if trial.state == "paused" else [trial])
        self._leave(trial)
        self.watch()

    def _leave(self, trial: Trial) -> None:
        self.launched = [each for each in self.launched if each is not trial]

    def _drop_states(self, ended: Sequence[Trial]) -> None:
        """Delete the states of trials that have ended, and of paused ones that cannot go on."""
        for trial in [*ended, *self._proposals.list_hopeless()]:
            shutil.rmtree(find_state(self.folder, trial.number), ignore_errors=True)

    @property
    def _fails_too_often(self) -> bool:
        failed = sum(trial.state == "failed" for trial in self.search.trials)
        allowed = self.limits.max_failure_rate * self.limits.n_trials
        return failed > allowed + 1e-9  # 0.29 · 100 < 29

    def _check_failures(self) -> None:
        if not self._fails_too_often:
            return
        raise SweepError(
            describe_failures(self.search.trials, self.limits, self.folder, self.hints)
        )
