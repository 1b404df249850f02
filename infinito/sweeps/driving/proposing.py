"""What a sweep launches next: paused trials that go on, new ones, and at the end confirmations."""

from __future__ import annotations

from infinito.search.rungs import list_hopeless
from infinito.search.search import Search
from infinito.search.trials import Trial
from infinito.sweeps.launching.launches import Limits
from infinito.sweeps.record import history
from infinito.sweeps.record.journal import Journal
from infinito.wording import format_count


class Proposals:
    """Take trials from a search and journal them before they are launched.

    Args:
        search: Proposes.
        journal: Open for writing.
        limits: How many trials there are.
    """

    def __init__(self, search: Search, journal: Journal, limits: Limits) -> None:
        self.search = search
        self.journal = journal
        self.limits = limits

    def take(self, count: int, *, is_idle: bool) -> list[Trial]:
        """Return trials to launch; none once there is no more to do.

        Args:
            count: How many at most; confirmations come together, all of them.
            is_idle: No trial is in flight, so the search may end.
        """
        trials = self._promote(count)
        left = self.limits.n_trials - len(self.search.own_trials)
        trials += self._propose(min(count - len(trials), left))
        if trials or not is_idle:
            return trials
        return self._promote(1, closing=True) or self._confirm()

    def describe_end(self) -> str:
        """Return why there is no more to do."""
        done = len(self.search.own_trials)
        if done >= self.limits.n_trials:
            return f"{format_count(done, 'trial')} {'is' if done == 1 else 'are'} done"
        return f"every point of the space has been tried, in {format_count(done, 'trial')}"

    def list_hopeless(self) -> list[Trial]:
        """Return the paused trials that cannot go on any more."""
        search = self.search
        return list_hopeless(search.own_trials, search.signs[0], search.rungs, self.limits.n_trials)

    def _promote(self, count: int, closing: bool = False) -> list[Trial]:
        found: list[Trial] = []
        while len(found) < count and (trial := self.search.promote(closing)) is not None:
            found.append(trial)
        if found:
            numbers = [trial.number for trial in found]
            self.journal.append({"event": "go_on", "numbers": numbers})
        return found

    def _propose(self, count: int) -> list[Trial]:
        if count <= 0:
            return []
        known = set(self.search.fits)
        return self._journal_new(self.search.ask(count), known)

    def _confirm(self) -> list[Trial]:
        if not self.limits.confirm:
            return []
        known = set(self.search.fits)
        return self._journal_new(self.search.confirm(self.limits.confirm), known)

    def _journal_new(self, batch: list[Trial], known: set[str]) -> list[Trial]:
        if batch:
            fits = {key: fit for key, fit in self.search.fits.items() if key not in known}
            self.journal.append(history.make_ask_event(batch, fits))
        return batch
