"""The sweep's loop without Hydra: what it journals, takes over and repeats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from infinito.errors import SweepError
from infinito.search.search import Search
from infinito.search.space.space import Categorical, Float, Space
from infinito.sweeps.launching.launches import Launch, Limits
from infinito.sweeps.record import history
from infinito.sweeps.record.journal import Journal
from infinito.sweeps.record.outcomes import Outcome, write_outcome
from infinito.sweeps.sweep import Sweep

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
