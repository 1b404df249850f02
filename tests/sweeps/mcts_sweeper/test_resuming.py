"""Sweeps that go on where they were killed, with the same proposals."""

from __future__ import annotations

import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from infinito.errors import ResumeError
from infinito.search.versions import VERSION as VERSION_OF_PROPOSALS
from infinito.sweeps.record.history import count_attempts
from infinito.sweeps.record.journal import VERSION, Journal, read
from tests.sweeps.mcts_sweeper.tiny_sweeps import (
    SPACE,
    Swept,
    Tiny,
    arguments,
    proposals,
    states,
    trials_of,
    wait_for_trial,
)


@pytest.mark.slow
def test_five_kills_lose_and_repeat_nothing(
    tiny: Tiny, tmp_path: Path, environment: dict[str, str]
) -> None:
    """20 trials of which 3 crash, 1 returns NaN and 1 hangs, killed 5 times on the way."""
    faults = ("crash=[2,7,11]", "nan=[5]", "hang=[9]", "seconds=0.15")
    command = (*faults, "hydra.sweeper.trial_timeout_s=4")
    assert tiny(*command, trials=20, folder="calm").returncode == 0
    for kill in range(5):
        resume = ["hydra.sweeper.resume=killed"] if kill else []
        sweep = subprocess.Popen(
            arguments(*command, *resume, trials=20, folder="killed"),
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.DEVNULL,
        )
        wait_for_trial(tmp_path / "killed", 3 * kill + 2)
        time.sleep(0.02 * kill)
        sweep.send_signal(signal.SIGKILL)
        sweep.wait()
    finished = tiny(*command, "hydra.sweeper.resume=killed", trials=20, folder="ignored")
    assert finished.returncode == 0, finished.stderr
    assert not (tmp_path / "ignored").exists()
    folder = tmp_path / "killed"
    assert states(folder) == {
        "finished": [n for n in range(20) if n not in (2, 5, 7, 9, 11)],
        "failed": [2, 5, 7, 9, 11],
        "running": [],
    }
    assert proposals(folder) == proposals(tmp_path / "calm")
    assert [t.values for t in trials_of(folder)] == [t.values for t in trials_of(tmp_path / "calm")]
    events = read(folder / "journal.jsonl")
    ends = Counter(event["number"] for event in events if event["event"] in ("finish", "fail"))
    assert ends == dict.fromkeys(range(20), 1)
    done = Counter(map(int, (folder / "done").read_text().split()))
    assert max(done.values()) == 1
    assert sum(count_attempts(events).values()) <= 20 + 5


def test_a_finished_sweep_resumes_to_more_trials(swept: Swept) -> None:
    folder = swept()
    before = (folder / "journal.jsonl").read_bytes()
    swept("hydra.sweeper.resume=sweep")
    assert (folder / "journal.jsonl").read_bytes() == before
    swept("hydra.sweeper.resume=sweep", "hydra.sweeper.n_trials=5")
    assert proposals(folder) == proposals(swept("hydra.sweeper.n_trials=5", folder="calm"))


def test_parameters_in_another_order_are_the_same_sweep(swept: Swept) -> None:
    folder = swept()
    again = ("hydra.sweeper.resume=sweep", "hydra.sweeper.n_trials=12")
    swept(*again, space=SPACE[::-1])
    assert proposals(folder) == proposals(swept("hydra.sweeper.n_trials=12", folder="calm"))


@pytest.mark.parametrize(
    ("override", "difference"),
    [
        ("hydra.sweeper.seed=1", "seed: the sweep has 0, the command asks for 1"),
        ("n=range(1,7)", r"space\.parameters\.n\.high: the sweep has 8, the command asks for 6"),
        ("hydra.sweeper.direction=maximize", r"directions: the sweep has \['minimize'\]"),
        ("seconds=0.01", r"overrides: the sweep has \[\], the command asks for \['seconds=0.01'\]"),
    ],
)
def test_another_search_is_not_resumed(swept: Swept, override: str, difference: str) -> None:
    swept()
    with pytest.raises(ResumeError, match=difference):
        swept(override, "hydra.sweeper.resume=sweep")


def test_what_cannot_be_resumed(swept: Swept, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ResumeError, match=r"holds no journal\.jsonl"):
        swept("hydra.sweeper.resume=nowhere")
    journal = swept() / "journal.jsonl"
    whole = journal.read_bytes()
    with Journal(journal), pytest.raises(ResumeError, match="still running"):
        swept("hydra.sweeper.resume=sweep")
    journal.write_bytes(whole.replace(b'"finish"', b'"Finish"', 1))
    with pytest.raises(ResumeError, match="its checksum is wrong"):
        swept("hydra.sweeper.resume=sweep")
    journal.write_bytes(whole[:-9])
    swept("hydra.sweeper.resume=sweep")
    assert states(journal.parent) == {"finished": [0, 1, 2], "failed": [], "running": []}
    monkeypatch.setattr("infinito.sweeps.record.journal.VERSION", VERSION + 1)
    with pytest.raises(ResumeError, match=f"of version {VERSION}; .* reads version {VERSION + 1}"):
        swept("hydra.sweeper.resume=sweep")


@pytest.mark.parametrize("lines", [0, 1, 2])
def test_a_journal_that_was_emptied_is_not_begun_anew(swept: Swept, lines: int) -> None:
    """Lines: version, earlier trials, plan, then trials."""
    journal = swept() / "journal.jsonl"
    whole = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(whole[:lines]))
    with pytest.raises(ResumeError, match=r"is empty or cut off .*warm_start=\[sweep/trials.csv\]"):
        swept("hydra.sweeper.resume=sweep")
    assert len((journal.parent / "trials.csv").read_text().splitlines()) == 4


@pytest.mark.parametrize("lines", range(1, 7))
def test_a_journal_rolled_back_goes_on(swept: Swept, lines: int) -> None:
    """A trial that the journal has asked for is taken over; others run again, in new folders."""
    calm = swept("claim=true", folder="calm")
    journal = swept("claim=true") / "journal.jsonl"
    whole = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(whole[:-lines]))
    folder = swept("claim=true", "hydra.sweeper.resume=sweep")
    assert states(folder) == {"finished": [0, 1, 2], "failed": [], "running": []}
    assert proposals(folder) == proposals(calm)
    run_again = {1: 0, 2: 0, 3: 1, 4: 1, 5: 1, 6: 2}[lines]
    assert len((folder / "done").read_text().split()) == 3 + run_again


def test_a_trial_with_a_torn_outcome_runs_again(swept: Swept) -> None:
    folder = swept("claim=true")
    journal = folder / "journal.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:-1]))
    outcome = folder / "outcomes/2.json"
    outcome.write_bytes(outcome.read_bytes()[:20])
    swept("claim=true", "hydra.sweeper.resume=sweep")
    assert states(folder) == {"finished": [0, 1, 2], "failed": [], "running": []}
    assert (folder / "outcomes/2.2.json").is_file()


def test_a_sweep_of_an_earlier_version_goes_on_and_says_what_has_changed(
    swept: Swept, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first version left no word about itself in its journal."""
    folder = swept("hydra.sweeper.n_trials=3")
    events = [each for each in read(folder / "journal.jsonl") if each["event"] != "version"]
    (folder / "journal.jsonl").unlink()
    with Journal(folder / "journal.jsonl") as journal:
        journal.append(*events[1:])
    before = proposals(folder)
    swept("hydra.sweeper.n_trials=5", f"hydra.sweeper.resume={folder}")
    assert proposals(folder)[:3] == before
    assert len(states(folder)["finished"]) == 5
    assert (
        "the search has changed since this sweep began, from version 1" in capsys.readouterr().out
    )
    after = read(folder / "journal.jsonl")
    assert [event["search"] for event in after if event["event"] == "version"] == [
        VERSION_OF_PROPOSALS
    ]
    swept("hydra.sweeper.n_trials=6", f"hydra.sweeper.resume={folder}")
    assert "the search has changed" not in capsys.readouterr().out
