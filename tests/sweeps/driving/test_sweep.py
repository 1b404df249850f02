"""The sweep's loop without Hydra: what it journals, takes over and repeats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from infinito.errors import SweepError
from infinito.search.search import Search
from infinito.search.space.space import Categorical, Float, Space
from infinito.sweeps.driving.sweep import Sweep
from infinito.sweeps.launching.lanes import ThreadLanes
from infinito.sweeps.launching.launches import Launch, Limits
from infinito.sweeps.launching.trial_faults import WorkerLost
from infinito.sweeps.record import history
from infinito.sweeps.record.journal import Journal, read
from infinito.sweeps.record.outcomes import Outcome, write_outcome

SPACE = Space([Float("x", 0.0, 1.0), Categorical("kind", ["a", "b"])])

Launcher = Callable[[Sequence[Launch]], Any]


class Killed(BaseException):
    """Stands for SIGKILL."""


class Machine:
    """Runs launches in a folder and remembers their labels; may be killed after so many."""

    def __init__(self, folder: Path, killed_after: float = float("inf")) -> None:
        self.folder = folder
        self.killed_after = killed_after
        self.labels: list[str] = []

    def __call__(self, launches: Sequence[Launch]) -> None:
        for launch in launches:
            if len(self.labels) >= self.killed_after:
                raise Killed
            self.labels.append(launch.label)
            score = launch.trial.params["x"] + (launch.trial.params["kind"] == "b")
            write_outcome(self.folder, launch.label, Outcome([score], None, 1.0))


def swept(folder: Path, launcher: Launcher, limits: Limits) -> Search:
    with Journal(folder / "journal.jsonl") as journal:
        search = Search(SPACE, trials=history.read_trials(journal.events))
        Sweep(search, journal, launcher, limits).run()
    return search


def test_a_batch_killed_half_way_is_taken_over(tmp_path: Path) -> None:
    limits = Limits(24, n_jobs=4)
    calm = swept(tmp_path / "calm", Machine(tmp_path / "calm"), limits)
    folder = tmp_path / "killed"
    labels: list[str] = []
    for killed_after in (0, 2, 5, 3):
        machine = Machine(folder, killed_after)
        with pytest.raises(Killed):
            swept(folder, machine, limits)
        labels += machine.labels
    machine = Machine(folder)
    resumed = swept(folder, machine, limits)
    labels += machine.labels
    assert resumed.trials == calm.trials
    assert len(labels) == 24
    assert sorted({int(label.split(".")[0]) for label in labels}) == list(range(24))
    assert "0.2" in labels


def test_what_ended_while_nobody_watched_is_not_run_again(tmp_path: Path) -> None:
    """An earlier launch may finish after its sweep was killed and another was started."""
    with pytest.raises(Killed):
        swept(tmp_path, Machine(tmp_path, 0), Limits(2))
    with pytest.raises(Killed):
        swept(tmp_path, Machine(tmp_path, 0), Limits(2))
    write_outcome(tmp_path, "0", Outcome([0.25], None, 9.0))
    machine = Machine(tmp_path)
    search = swept(tmp_path, machine, Limits(2))
    assert search.trials[0].values == (0.25,)
    assert machine.labels == ["1"]


def test_a_failing_batch_is_launched_one_by_one(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    sizes = []

    def launcher(launches: Sequence[Launch]) -> None:
        sizes.append(len(launches))
        if any(launch.trial.number == 1 for launch in launches):
            raise OSError("lost")
        machine(launches)

    search = swept(tmp_path, launcher, Limits(4, n_jobs=4))
    assert sizes == [4, 1, 1, 1, 1]
    assert [trial.state for trial in search.trials] == ["finished", "failed", *["finished"] * 2]
    assert search.trials[1].error == "the launcher failed: OSError: lost"


def test_a_launch_without_an_outcome_has_failed(tmp_path: Path) -> None:
    search = swept(tmp_path, lambda _: None, Limits(1, max_failure_rate=1.0))
    assert search.trials[0].error == "the trial ended without an outcome"


@pytest.mark.parametrize(("rate", "trials"), [(0.0, 1), (0.2, 3), (0.3, 4), (0.29, 30)])
def test_the_failure_that_is_one_too_many_ends_the_sweep(
    tmp_path: Path, rate: float, trials: int
) -> None:
    """Of 10 trials floor(10·rate) may fail, and 29 % of 100 are 29 whatever floats say."""
    with pytest.raises(SweepError, match=f"{trials} of {trials} trials failed, more than"):
        swept(tmp_path, lambda _: None, Limits(100 if rate == 0.29 else 10, max_failure_rate=rate))


class Track:
    """Lanes whose launches end in an order of their numbers; may be killed, or break down."""

    def __init__(
        self,
        folder: Path,
        count: int = 3,
        killed_after: float = float("inf"),
        breaks: Sequence[int] = (),
    ) -> None:
        self.count = count
        self.machine = Machine(folder, killed_after)
        self.breaks = breaks
        self.most = 0
        self.alone: list[int] = []
        self._flying: list[Launch] = []
        self._fallen: set[int] = set()

    def start(self, launch: Launch) -> None:
        self._flying.append(launch)
        self.most = max(self.most, len(self._flying))

    def wait(self) -> tuple[Launch, BaseException | None]:
        numbers = {one.trial.number for one in self._flying}
        if numbers & set(self.breaks) and len(numbers) > 1:
            self._fallen |= numbers
        # every fourth trial is as slow as four others
        launch = min(self._flying, key=lambda one: one.trial.number % 4 == 1)
        self._flying.remove(launch)
        number = launch.trial.number
        if number in self._fallen:
            self._fallen.remove(number)
            return launch, OSError("the pool broke")
        if len(numbers) == 1:
            self.alone.append(number)
        if number in self.breaks:
            return launch, OSError("the pool broke")
        self.machine([launch])
        return launch, None


def raced(folder: Path, track: Track, limits: Limits) -> tuple[Search, Sweep, str]:
    with Journal(folder / "journal.jsonl") as journal:
        events = journal.events
        search = Search(SPACE, trials=history.read_trials(events), fits=history.read_fits(events))
        sweep = Sweep(search, journal, Machine(folder), limits, lanes=track)
        reason = sweep.run()
    return search, sweep, reason


def list_events(folder: Path) -> list[str]:
    """Proposals and ends in their order: `ask 3`, `finish 1`."""
    found = []
    for event in read(folder / "journal.jsonl"):
        if event["event"] == "ask":
            found += [f"ask {each['number']}" for each in event["trials"]]
        elif event["event"] in ("finish", "fail"):
            found.append(f"{event['event']} {event['number']}")
    return found


def test_the_next_trial_is_requested_the_moment_one_ends(tmp_path: Path) -> None:
    """Trial 1 is slow, and nobody waits for it."""
    track = Track(tmp_path)
    _, sweep, reason = raced(tmp_path, track, Limits(6, n_jobs=3))
    assert track.most == 3
    assert list_events(tmp_path)[:9] == [
        *("ask 0", "ask 1", "ask 2", "finish 0", "ask 3", "finish 2", "ask 4", "finish 3"),
        "ask 5",
    ]
    assert reason.startswith("6 trials are done; the 3 workers were ")
    assert sweep.busy_share == pytest.approx(6 / (3 * sweep.elapsed_s), rel=0.5)  # 1 s each


def test_the_same_order_of_results_gives_the_same_proposals_after_kills(tmp_path: Path) -> None:
    """Trials in flight at a kill run again; what is proposed next knows the same results."""
    calm, _, _ = raced(tmp_path / "calm", Track(tmp_path / "calm"), Limits(24, n_jobs=3))
    folder = tmp_path / "killed"
    for killed_after in (0, 4, 1, 7):
        with pytest.raises(Killed):
            raced(folder, Track(folder, killed_after=killed_after), Limits(24, n_jobs=3))
    resumed, _, _ = raced(folder, Track(folder), Limits(24, n_jobs=3))
    assert list_events(folder) == list_events(tmp_path / "calm")
    assert resumed.trials == calm.trials


def test_a_broken_launcher_fails_only_the_trial_that_breaks_it(tmp_path: Path) -> None:
    """Three are in flight when the second breaks all: each runs again alone."""
    track = Track(tmp_path, breaks=[1])
    search, _, _ = raced(tmp_path, track, Limits(6, n_jobs=3))
    states = [trial.state for trial in search.trials]
    assert states == ["finished", "failed", *["finished"] * 4]
    assert search.trials[1].error == "the launcher failed: OSError: the pool broke"
    assert sorted(track.alone[:3]) == [0, 1, 2]


def test_too_many_failures_wait_for_what_is_in_flight(tmp_path: Path) -> None:
    class Failing(Track):
        def wait(self) -> tuple[Launch, BaseException | None]:
            launch = self._flying.pop(0)
            write_outcome(tmp_path, launch.label, Outcome(None, "boom", 1.0))
            return launch, None

    with pytest.raises(SweepError, match="3 of 3 trials failed"):
        raced(tmp_path, Failing(tmp_path), Limits(10, n_jobs=3, max_failure_rate=0.0))
    assert sum(event.startswith("fail") for event in list_events(tmp_path)) == 3


def test_what_a_launcher_raises_for_the_sweep_ends_it(tmp_path: Path) -> None:
    class Interrupted(Track):
        def wait(self) -> tuple[Launch, BaseException | None]:
            return self._flying.pop(), KeyboardInterrupt()

    with pytest.raises(KeyboardInterrupt):
        raced(tmp_path, Interrupted(tmp_path), Limits(4, n_jobs=2))


def test_a_journal_keeps_what_was_fitted(tmp_path: Path) -> None:
    """So the first proposal after a resume is as quick as another."""
    search, _, _ = raced(tmp_path, Track(tmp_path, count=1), Limits(22))
    events = read(tmp_path / "journal.jsonl")
    assert history.read_fits(events) == search.fits
    assert search.fits


class LosingMachine(Machine):
    """Loses the worker of some trials at their first launches, by number."""

    def __init__(self, folder: Path, losses: dict[int, int], retries: int = 2) -> None:
        super().__init__(folder)
        self.losses = dict(losses)
        self.retries = retries

    def __call__(self, launches: Sequence[Launch]) -> None:
        lost = [launch for launch in launches if self.losses.get(launch.trial.number, 0)]
        super().__call__([launch for launch in launches if launch not in lost])
        for launch in lost:
            self.labels.append(launch.label)
            self.losses[launch.trial.number] -= 1
        if lost:
            raise WorkerLost("its worker was lost", self.retries)


@pytest.mark.parametrize("in_lanes", [False, True])
def test_a_lost_worker_is_journaled_and_its_trial_runs_again(
    tmp_path: Path, in_lanes: bool
) -> None:
    machine = LosingMachine(tmp_path, {1: 1, 2: 2, 3: 9})
    with Journal(tmp_path / "journal.jsonl") as journal:
        lanes = ThreadLanes([lambda launch: machine([launch])] * 2) if in_lanes else None
        sweep = Sweep(Search(SPACE), journal, machine, Limits(6, n_jobs=2), lanes=lanes)
        reason = sweep.run()
        events = journal.events
    assert reason.startswith("6 trials are done; 6 workers lost, see its journal; the 2 workers")
    assert [trial.state for trial in sweep.search.trials].count("finished") == 5
    assert sweep.search.trials[3].error == "its worker was lost"
    assert Counter(event["number"] for event in events if event["event"] == "lost") == {
        1: 1, 2: 2, 3: 3,
    }  # fmt: skip
    assert {"1", "1.2", "2", "2.2", "2.3", "3", "3.2", "3.3"} <= set(machine.labels)
    assert "3.4" not in machine.labels
