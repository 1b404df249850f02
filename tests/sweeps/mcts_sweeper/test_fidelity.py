"""Trials that pause on their way: who goes on, what is kept, what a kill costs."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from infinito.errors import ConfigError, ResumeError
from infinito.sweeps.record.journal import read
from tests.sweeps.mcts_sweeper.tiny_sweeps import (
    Swept,
    arguments,
    proposals,
    scores_of,
    states,
    trials_of,
)

RUNGS = ("hydra.sweeper.fidelity=trainer.max_steps", "hydra.sweeper.fidelity_smallest=10")


def steps_of(folder: Path) -> dict[int, list[tuple[int, int]]]:
    """First and last step of each launch, by trial."""
    found: dict[int, list[tuple[int, int]]] = {}
    for line in (folder / "steps").read_text().splitlines():
        number, start, end = map(int, line.split())
        found.setdefault(number, []).append((start, end))
    return found


def test_the_best_third_goes_on_from_where_it_paused(swept: Swept) -> None:
    folder = swept(*RUNGS, "hydra.sweeper.n_trials=12")
    launches = steps_of(folder)
    ways = Counter(tuple(each) for each in launches.values())
    assert set(ways) == {
        ((0, 10),),
        ((0, 10), (10, 30)),
        ((0, 10), (10, 30), (30, 90)),
    }
    found = states(folder)
    assert len(found["finished"]) >= 1
    assert len(found["finished"]) + len(found["paused"]) == 12
    assert sum(len(each) > 1 for each in launches.values()) >= 4
    results = OmegaConf.load(folder / "optimization_results.yaml")
    assert results.paused == len(found["paused"])
    assert results.best_value == min(scores_of(folder))


def test_states_that_are_no_longer_needed_go(swept: Swept) -> None:
    folder = swept(*RUNGS, "hydra.sweeper.n_trials=12")
    kept = {int(path.name) for path in (folder / "paused").iterdir()}
    assert kept < set(states(folder)["paused"])
    assert len(kept) <= 3


def test_the_journal_holds_what_a_paused_trial_saw(swept: Swept) -> None:
    folder = swept(*RUNGS, "hydra.sweeper.n_trials=4", "hydra.sweeper.report=true")
    events = read(folder / "journal.jsonl")
    pauses = [event for event in events if event["event"] == "pause"]
    assert len(pauses) >= 5
    longest = max(trials_of(folder), key=lambda trial: len(trial.curve))
    assert len(longest.curve) == 3
    assert longest.curve[0] > longest.curve[1] > longest.curve[2]  # 0.1 / share falls
    page = (folder / "report.html").read_text()
    assert "Scores where trials paused" in page
    assert "Where the compute went" in page
    assert "paused on their way" in page


def test_a_sweep_with_pauses_goes_on_as_it_would_have(swept: Swept) -> None:
    folder = swept(*RUNGS, "hydra.sweeper.n_trials=6")
    swept(*RUNGS, "hydra.sweeper.n_trials=12", "hydra.sweeper.resume=sweep")
    assert len(trials_of(folder)) == 12
    for launches in steps_of(folder).values():
        assert all(end == start for (_, end), (start, _) in pairwise(launches))
    with pytest.raises(ResumeError, match=r"fidelity"):
        swept("hydra.sweeper.n_trials=13", "hydra.sweeper.resume=sweep")


def test_batches_pause_too(swept: Swept) -> None:
    batches = ("hydra.sweeper.n_jobs=3", "hydra.sweeper.asynchronous=false")
    folder = swept(*RUNGS, *batches, "hydra.sweeper.n_trials=9")
    assert len(states(folder)["finished"]) >= 1
    again = swept(*RUNGS, *batches, "hydra.sweeper.n_trials=9", folder="again")
    assert proposals(folder) == proposals(again)
    assert steps_of(folder) == steps_of(again)


@pytest.mark.parametrize(
    ("overrides", "fault"),
    [
        (["fidelity=lr"], "fidelity`=lr: expected trainer.max_steps or trainer.epochs"),
        (["fidelity=trainer.epochs"], "`trainer.epochs` is None; expected a number"),
        (["fidelity=trainer.max_steps", "fidelity_smallest=100"], "`=100 exceeds the largest"),
        (["fidelity=trainer.max_steps", "fidelity_smallest=31"], "so no trial would pause"),
        (["fidelity=trainer.max_steps", "fidelity_smallest=-1"], "`=-1: expected above 0"),
        (["fidelity=trainer.max_steps", "fidelity_largest=4.5"], "expected a whole number"),
        (["fidelity_largest=90"], "`=90 needs `hydra.sweeper.fidelity`"),
        (["fidelity=trainer.max_steps", "repeats=2"], "go together: .*`hydra.sweeper.repeats=1`"),
        (["fidelity=trainer.max_steps", "repeats=auto"], "`=auto do not go together"),
        (["fidelity=trainer.max_steps", "direction=[minimize,maximize]"], "needs one objective"),
    ],
)
def test_fidelities_that_cannot_be(swept: Swept, overrides: list[str], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        swept(*(f"hydra.sweeper.{each}" for each in overrides))
    assert not Path("sweep").exists()


@pytest.mark.parametrize(
    ("overrides", "fault"),
    [
        (["task=train"], "`task`=train cannot. Use `task=trial`"),
        (["trainer.stop_bad=median"], "and so does `trainer.stop_bad`"),
        (["trainer.patience=2"], "and so does `trainer.patience`"),
        (["optimizer.schedule=plateau"], "`optimizer.schedule=plateau` would follow"),
        (["optimizer.schedule=cosine,plateau"], "`optimizer.schedule=plateau` would follow"),
        (["trainer.max_steps=50,90"], "trainer.max_steps is searched as well"),
    ],
)
def test_trials_that_cannot_pause(swept: Swept, overrides: list[str], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        swept(RUNGS[0], *overrides)


@pytest.mark.slow
def test_twenty_kills_pay_no_step_twice_but_of_the_launch_they_hit(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    """20 trials, two at once in processes of their own, killed at 20 random moments."""
    flying = ("hydra.sweeper.isolate=true", "hydra.sweeper.n_jobs=2", "seconds=0.1")
    rng, kills = random.Random(0), 0
    while True:
        is_begun = (tmp_path / "killed/journal.jsonl").is_file()
        resume = ["hydra.sweeper.resume=killed"] if is_begun else []
        sweep = subprocess.Popen(
            arguments(*RUNGS, *flying, *resume, trials=20, folder="killed"),
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.DEVNULL,
        )
        if kills == 20:
            assert sweep.wait(timeout=240) == 0
            break
        before = len(trials_of(tmp_path / "killed")) if is_begun else 0
        for _ in range(3000):  # until it works
            time.sleep(0.02)
            journal = tmp_path / "killed/journal.jsonl"
            if sweep.poll() is not None or (
                journal.is_file() and read(journal)[-1]["event"] == "start"
            ):
                break
        time.sleep(rng.uniform(0.0, 0.3))
        sweep.send_signal(signal.SIGKILL)
        sweep.wait()
        kills += 1
        assert before <= 20
    trials = trials_of(tmp_path / "killed")
    assert len(trials) == 20
    assert {trial.state for trial in trials} <= {"finished", "paused"}
    paid = Counter(
        (number, start, end)
        for number, launches in steps_of(tmp_path / "killed").items()
        for start, end in launches
    )
    assert sum(paid.values()) - len(paid) <= 2 * 20  # two are in flight at each kill
    assert {(start, end) for _, start, end in paid} == {(0, 10), (10, 30), (30, 90)}
