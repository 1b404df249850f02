"""Several drivers of one search: each trial once, whoever dies."""

from __future__ import annotations

import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from infinito.errors import ConfigError, ResumeError
from infinito.sweeps.driving.drivers import FOLDER, Drivers
from infinito.sweeps.record import history
from infinito.sweeps.record.journal import SharedJournal, read
from tests.sweeps.mcts_sweeper.tiny_sweeps import (
    ENOUGH_S,
    Swept,
    arguments,
    proposals,
    states,
    wait_for_trial,
)

SHARED = "hydra.sweeper.shared=sweep"


def start(folder: Path, environment: dict[str, str], *overrides: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        arguments(SHARED, *overrides, trials=20, folder="ignored"),
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_one_driver_alone_proposes_what_a_sweep_of_its_own_does(swept: Swept) -> None:
    shared = swept(SHARED, "hydra.sweeper.n_trials=8")
    assert proposals(shared) == proposals(swept("hydra.sweeper.n_trials=8", folder="own"))
    assert states(shared)["finished"] == list(range(8))
    assert not any((shared / FOLDER).iterdir())


def test_the_same_command_goes_on_with_a_search_that_is_there(swept: Swept) -> None:
    shared = swept(SHARED)
    swept(SHARED, "hydra.sweeper.n_trials=5")
    swept("hydra.sweeper.resume=sweep", "hydra.sweeper.n_trials=8")
    assert proposals(shared) == proposals(swept("hydra.sweeper.n_trials=8", folder="own"))


def test_three_drivers_of_which_one_is_killed(tmp_path: Path, environment: dict[str, str]) -> None:
    drivers = [start(tmp_path, environment, "seconds=0.3", "n=range(1,9)") for _ in range(3)]
    wait_for_trial(tmp_path / "sweep", 5)
    time.sleep(0.1)
    drivers[0].send_signal(signal.SIGKILL)
    printed = [driver.communicate(timeout=ENOUGH_S)[0] for driver in drivers]
    assert [driver.returncode for driver in drivers] == [-signal.SIGKILL, 0, 0], printed
    assert states(tmp_path / "sweep") == {
        "finished": list(range(20)),
        "failed": [],
        "running": [],
    }
    events = read(tmp_path / "sweep/journal.jsonl")
    ends = Counter(each["number"] for each in events if each["event"] in history.ENDS)
    assert ends == dict.fromkeys(range(20), 1)
    assert sum(history.count_attempts(events).values()) <= 20 + 1
    owners = {each["driver"] for each in events if each["event"] == "start"}
    assert len(owners) == 3
    assert all("20 trials are done" in each for each in printed[1:])


def test_a_trial_of_a_dead_driver_is_taken_over(swept: Swept) -> None:
    """One is started again; one that left its outcome is not."""
    folder = swept(SHARED)
    with SharedJournal(folder / "journal.jsonl") as journal, journal.turn():
        params = proposals(folder)[0]
        trials = [{"number": number, "params": {**params, "x": 0.1 * number}} for number in (3, 4)]
        journal.append(
            {"event": "ask", "trials": trials},
            {"event": "start", "numbers": [3, 4], "driver": "one-that-died"},
        )
    outcome = '{"values": [0.25], "error": null, "seconds": 1.5}'
    (folder / "outcomes/3.json").write_text(outcome)
    swept(SHARED, "hydra.sweeper.n_trials=5")
    assert states(folder)["finished"] == [0, 1, 2, 3, 4]
    events = read(folder / "journal.jsonl")
    assert history.read_trials(events)[3].values == (0.25,)
    assert history.count_attempts(events) == {0: 1, 1: 1, 2: 1, 3: 1, 4: 2}


def test_a_trial_of_a_living_driver_is_left_alone(swept: Swept) -> None:
    folder = swept(SHARED)
    with Drivers(folder) as other:
        with SharedJournal(folder / "journal.jsonl") as journal, journal.turn():
            trials = [{"number": 3, "params": proposals(folder)[0]}]
            journal.append(
                {"event": "ask", "trials": trials},
                {"event": "start", "numbers": [3], "driver": other.name},
            )
        swept(SHARED, "hydra.sweeper.n_trials=5", "hydra.sweeper.timeout_s=3")
    assert states(folder) == {"finished": [0, 1, 2, 4], "failed": [], "running": [3]}


def test_a_driver_that_wakes_up_drops_a_trial_that_was_taken_over(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    """Another driver starts the trial again meanwhile; only that result counts."""
    sleeper = start(tmp_path, environment, "seconds=2.0", "hydra.sweeper.n_trials=1")
    folder = tmp_path / "sweep"
    wait_for_trial(folder, 0)
    with SharedJournal(folder / "journal.jsonl") as journal:
        with journal.turn():
            journal.append({"event": "start", "numbers": [0], "driver": "other"})
        (folder / FOLDER / "other").write_text("1 1 another-boot/pid:[1]\n")
        time.sleep(4)
        with journal.turn():
            journal.append({"event": "finish", "number": 0, "seconds": 1.0, "values": [0.5]})
    printed = sleeper.communicate(timeout=ENOUGH_S)[0]
    assert sleeper.returncode == 0, printed
    trials = history.read_trials(read(folder / "journal.jsonl"))
    assert [trial.values for trial in trials] == [(0.5,)]


def test_a_shared_search_and_one_of_its_own_are_not_mixed(swept: Swept) -> None:
    swept()
    with pytest.raises(ResumeError, match="shared: the sweep has False, the command asks for True"):
        swept(SHARED)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["hydra.sweeper.heartbeat_s=30"], r"name its folder, `hydra\.sweeper\.shared=<folder>`"),
        ([SHARED, "hydra.sweeper.heartbeat_s=1"], "expected at least 5, since a driver that saves"),
        ([SHARED, "hydra.sweeper.resume=sweep"], "give one"),
        ([SHARED, "hydra.sweeper.asynchronous=false"], "proposes one trial at a time"),
    ],
)
def test_settings_that_cannot_be(swept: Swept, overrides: list[str], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        swept(*overrides)
