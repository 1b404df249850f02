"""A search that several drivers share: each proposes, runs and settles trials of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from infinito.search.trials import Trial
from infinito.sweeps.driving.drivers import Drivers
from infinito.sweeps.driving.sweep import Sweep
from infinito.sweeps.launching.lanes import Lanes
from infinito.sweeps.launching.launches import Launch
from infinito.sweeps.record import history
from infinito.sweeps.record.journal import Event

POLL_S = 1.0
"""Between looks at the journal of a driver that waits for the others."""


class SharedSweep(Sweep):
    """One driver of a search.

    A trial belongs to the driver that started it last. Where that is dead, whoever comes first
    takes over what the trial left, or starts it again.

    Args:
        drivers: This driver and the others.
        begin: `Sweep`'s arguments; made within the driver's first turn.
    """

    def __init__(self, drivers: Drivers, **begin: Any) -> None:
        super().__init__(**begin)
        self.drivers = drivers
        self.signature = {"driver": drivers.name}
        self._owners: dict[int, str] = {}
        for event in self.journal.events:
            self._note_owner(event)

    @property
    def elsewhere(self) -> int:
        """How many trials are running that are not this driver's."""
        return len(self._list_running()) - len(self.launched)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Take a turn at the journal, and hear what the others did."""
        with self.journal.turn() as events:
            for event in events:
                self._hear(event)
            yield

    def run(self) -> str:
        """Run trials until a limit is reached and no driver runs one any more.

        Returns:
            Why it ended.

        Raises:
            SweepError: More trials failed than allowed.
            SaveError: The journal could not be written.
            ResumeError: No turn at the journal came in time.
        """
        assert self.lanes is not None
        with self.drivers:
            return self._describe(self._run_lanes(self.lanes))

    def _run_lanes(self, lanes: Lanes) -> str:
        while True:
            with self.turn():
                self._settle_ended()
                end = self._fill(lanes, self._list_waiting())
                if not self.launched:
                    self._check_failures()
                others = self.elsewhere
                self.watch()
            if self.launched:
                launch, fault = lanes.wait()
                with self.turn():
                    self._take_result(launch, fault, [])
            elif others and not self._is_late:
                time.sleep(POLL_S)
            else:
                return end

    def _take_result(
        self, launch: Launch, fault: BaseException | None, waiting: list[Trial]
    ) -> None:
        trial = launch.trial
        if trial.state == "running" and self._owners[trial.number] == self.drivers.name:
            super()._take_result(launch, fault, waiting)
            return
        # this driver was silent for so long that another took the trial over
        self._leave(trial)

    def _list_waiting(self) -> list[Trial]:
        """Return the running trials that no living driver has."""
        here = {trial.number for trial in [*self.launched, *self._lost]}
        return [
            trial
            for trial in self._list_running()
            if trial.number not in here and self._is_free(trial)
        ]

    def _is_free(self, trial: Trial) -> bool:
        owner = self._owners.get(trial.number, self.drivers.name)
        return owner == self.drivers.name or self.drivers.is_dead(owner)

    def _start(self, batch: list[Trial]) -> list[Launch]:  # type: ignore[override]
        launches = super()._start(batch)
        self._note_owner(self.journal.events[-1])
        return launches

    def _hear(self, event: Event) -> None:
        """Do what another driver has done."""
        history.apply(event, self.search.trials)
        self.search.fits.update(event.get("fits", {}))
        if event["event"] == "start":
            self.attempts.update(event["numbers"])
            self._note_owner(event)
        elif event["event"] in history.ENDS:
            number = event["number"]
            self.settled[number] = self.attempts[number]
            self.seconds[number] = self.seconds.get(number, 0.0) + (event["seconds"] or 0.0)

    def _note_owner(self, event: Event) -> None:
        """Note who has a trial: the driver that starts it; nobody, where it is to go on."""
        kind = event["event"]
        if kind == "start":
            self._owners |= dict.fromkeys(event["numbers"], event["driver"])
        elif kind == "go_on":
            for number in event["numbers"]:
                self._owners.pop(number, None)
