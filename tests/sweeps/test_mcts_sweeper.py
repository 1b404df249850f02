"""Sweeps as a user starts, kills and resumes them, of an application of a few milliseconds."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.core.plugins import Plugins
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf

from infinito.errors import ConfigError, ResumeError, SaveError, SweepError
from infinito.search.trials import Trial
from infinito.sweeps.record.history import count_attempts, read_plan, read_prior, read_trials
from infinito.sweeps.record.journal import VERSION, Journal, read
from tests.sweeps import tiny_app

APP = Path(__file__).with_name("tiny_app.py")
SPACE = ("x=interval(0.0,1.0)", "lr=tag(log,interval(1e-4,1e-1))", "n=range(1,9)", "kind=good,bad")

Tiny = Callable[..., subprocess.CompletedProcess[str]]


def arguments(*overrides: str, trials: int = 6, folder: str = "sweep") -> list[str]:
    fixed = [f"hydra.sweeper.n_trials={trials}", "hydra.sweeper.report=false"]
    return [sys.executable, str(APP), *SPACE, *fixed, f"hydra.sweep.dir={folder}", *overrides]


@pytest.fixture
def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "HYDRA_FULL_ERROR": "1", "COLUMNS": "200"}


@pytest.fixture
def tiny(tmp_path: Path, environment: dict[str, str]) -> Tiny:
    """Runs a sweep of the application in an empty folder."""

    def call(*overrides: str, **names: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            arguments(*overrides, **names),
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return call


def trials_of(folder: Path) -> list[Trial]:
    return read_trials(read(folder / "journal.jsonl"))


def proposals(folder: Path) -> list[dict[str, Any]]:
    return [trial.params for trial in trials_of(folder)]


def states(folder: Path) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {"finished": [], "failed": [], "running": []}
    for trial in trials_of(folder):
        found[trial.state].append(trial.number)
    return found


def test_a_sweep_leaves_results_in_the_usual_shape(tiny: Tiny, tmp_path: Path) -> None:
    finished = tiny(trials=5)
    assert finished.returncode == 0, finished.stderr
    folder = tmp_path / "sweep"
    trials = trials_of(folder)
    own = dict(trials[0].params)
    assert own.pop("kind") == "good"
    assert own == pytest.approx({"x": 0.5, "lr": 0.01, "n": 4})
    best = min(trials, key=lambda trial: trial.values or ())
    results = OmegaConf.to_container(OmegaConf.load(folder / "optimization_results.yaml"))
    assert results == {
        "name": "infinito_mcts",
        "trials": 5,
        "finished": 5,
        "failed": 0,
        "best_params": best.params,
        "best_value": best.values[0] if best.values else None,
    }
    assert (folder / "multirun.yaml").is_file()
    assert len((folder / "trials.csv").read_text().splitlines()) == 6
    assert "5 trials are done" in finished.stdout
    assert "a trial's own output" not in finished.stdout
    assert "a trial's own output" in (folder / "0/output.log").read_text()


def test_crash_nan_hang_and_a_killed_process_do_not_end_a_sweep(tiny: Tiny, tmp_path: Path) -> None:
    faults = ("crash=[1]", "nan=[2]", "hang=[3]", "die=[4]", "hydra.sweeper.isolate=true")
    limits = ("hydra.sweeper.trial_timeout_s=1", "hydra.sweeper.max_failure_rate=0.7")
    finished = tiny(*faults, *limits)
    assert finished.returncode == 0, finished.stderr
    assert states(tmp_path / "sweep") == {"finished": [0, 5], "failed": [1, 2, 3, 4], "running": []}
    errors = [trial.error for trial in trials_of(tmp_path / "sweep")]
    assert errors[1] == "RuntimeError: boom"
    assert errors[2] == "ValueError: the score is nan, which is not finite"
    assert errors[3] == "stopped after 1 s, the limit of `hydra.sweeper.trial_timeout_s`"
    assert errors[4] == "the trial's process ended (SIGKILL)"
    trace = (tmp_path / "sweep/1/error.txt").read_text()
    assert "tiny_app.py" in trace
    assert "RuntimeError: boom" in trace


@pytest.mark.slow
def test_a_trial_that_nothing_interrupts_is_killed(tiny: Tiny, tmp_path: Path) -> None:
    isolated = ("hydra.sweeper.isolate=true", "hydra.sweeper.trial_timeout_s=1")
    finished = tiny("deaf=[1]", *isolated, "hydra.sweeper.max_failure_rate=0.5", trials=3)
    assert finished.returncode == 0, finished.stderr
    assert states(tmp_path / "sweep") == {"finished": [0, 2], "failed": [1], "running": []}
    error = trials_of(tmp_path / "sweep")[1].error
    assert error is not None
    assert error.endswith("it did not answer and was killed")


@pytest.mark.slow
def test_five_kills_lose_and_repeat_nothing(
    tiny: Tiny, tmp_path: Path, environment: dict[str, str]
) -> None:
    """20 trials of which 3 crash, 1 returns NaN and 1 hangs, killed 5 times on the way."""
    faults = ("crash=[2,7,11]", "nan=[5]", "hang=[9]", "seconds=0.15")
    command = (*faults, "hydra.sweeper.trial_timeout_s=1")
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


def wait_for_trial(folder: Path, number: int) -> None:
    """Returns once a trial has been started."""
    journal = folder / "journal.jsonl"
    for _ in range(2000):
        if journal.is_file() and count_attempts(read(journal))[number]:
            return
        time.sleep(0.01)
    raise AssertionError(f"trial {number} never started")


Swept = Callable[..., Path]


@pytest.fixture
def swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Swept:
    """Runs a sweep in this process and returns its folder; errors are raised."""
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.chdir(tmp_path)

    def call(*overrides: str, space: tuple[str, ...] = SPACE, folder: str = "sweep") -> Path:
        fixed = ["hydra.sweeper.n_trials=3", "hydra.sweeper.report=false"]
        words = [*space, *fixed, f"hydra.sweep.dir={folder}", *overrides]
        monkeypatch.setattr(sys, "argv", ["tiny_app.py", "-m", *words])
        tiny_app.main()
        return tmp_path / folder

    return call


def test_batches_through_the_launcher_repeat_themselves(swept: Swept) -> None:
    batches = ("hydra.sweeper.n_jobs=2", "hydra.sweeper.asynchronous=false")
    first = swept(*batches, "hydra.sweeper.n_trials=5")
    starts = [event["numbers"] for event in read(first / "journal.jsonl") if "numbers" in event]
    assert starts == [[0, 1], [2, 3], [4]]
    second = swept(*batches, "hydra.sweeper.n_trials=5", folder="second")
    other = swept("hydra.sweeper.seed=1", "hydra.sweeper.n_trials=5", folder="other")
    assert proposals(first) == proposals(second) != proposals(other)


@pytest.mark.slow
@pytest.mark.parametrize("isolate", [False, True])
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_other_launchers_run_the_same_sweep(
    tiny: Tiny, tmp_path: Path, launcher: str, isolate: bool
) -> None:
    package = {"joblib": "joblib", "submitit_local": "submitit"}[launcher]
    pytest.importorskip(f"hydra_plugins.hydra_{package}_launcher", reason=f"no {launcher} launcher")
    batches = (
        "hydra.sweeper.n_jobs=2",
        "hydra.sweeper.asynchronous=false",
        "crash=[1]",
        "hydra.sweeper.trial_timeout_s=60",
    )
    assert tiny(*batches, trials=4, folder="basic").returncode == 0
    own = (f"hydra/launcher={launcher}", f"hydra.sweeper.isolate={isolate}")
    finished = tiny(*batches, *own, trials=4, folder=launcher)
    assert finished.returncode == 0, finished.stderr
    assert states(tmp_path / launcher) == states(tmp_path / "basic")
    assert proposals(tmp_path / launcher) == proposals(tmp_path / "basic")


@pytest.mark.slow
def test_a_killed_sweep_of_submitit_goes_on(
    tiny: Tiny, tmp_path: Path, environment: dict[str, str]
) -> None:
    """The driver is killed twice; what it had submitted ends by itself, as jobs of a cluster do."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="no submitit launcher")
    command = (
        "hydra/launcher=submitit_local", "hydra.sweeper.n_jobs=2",
        "hydra.sweeper.asynchronous=false", "seconds=0.1",
    )  # fmt: skip
    for kill in range(2):
        resume = ["hydra.sweeper.resume=killed"] if kill else []
        sweep = subprocess.Popen(
            arguments(*command, *resume, trials=8, folder="killed"),
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for_trial(tmp_path / "killed", 2 * kill + 2)
        sweep.send_signal(signal.SIGKILL)
        sweep.wait()
    finished = tiny(*command, "hydra.sweeper.resume=killed", trials=8, folder="ignored")
    assert finished.returncode == 0, finished.stderr
    folder = tmp_path / "killed"
    assert states(folder) == {"finished": list(range(8)), "failed": [], "running": []}
    ends = Counter(
        each["number"] for each in read(folder / "journal.jsonl") if each["event"] == "finish"
    )
    assert ends == dict.fromkeys(range(8), 1)


@pytest.mark.parametrize(
    "settings",
    [("strategy=uct",), ("strategy=random",), ("selection=ucb1",), ("selection=puct",)],
)
def test_every_strategy_sweeps(swept: Swept, settings: tuple[str, ...]) -> None:
    words = [f"hydra.sweeper.{each}" for each in (*settings, "n_trials=20", "n_jobs=4")]
    folder = swept(*words)
    assert len(states(folder)["finished"]) == 20
    assert len({str(params) for params in proposals(folder)}) == 20


def test_params_of_the_configuration_and_the_command_line(swept: Swept) -> None:
    params = (
        "+hydra.sweeper.params={x:'interval(0.0,1.0)',n:'choice(1,2,3)',kind:'choice(good,bad)'}"
    )
    conditions = "hydra.sweeper.conditions=['n * deep.heads <= 4']"
    folder = swept(params, conditions, "kind=bad", "lr=0.5", space=(), folder="a")
    trials = proposals(folder)
    assert all(set(params) == {"x", "n"} for params in trials)
    assert all(params["n"] in (1, 2) for params in trials)
    plan = read_plan(read(folder / "journal.jsonl"))
    assert plan is not None
    assert plan["overrides"] == ["kind=bad", "lr=0.5"]


def test_nested_and_quoted_values_reach_the_task(swept: Swept) -> None:
    choices = ("+text=choice('a,b','[x]')", "+list=choice([1,2],[3])", "deep={width:1},{width:2}")
    folder = swept("hydra.output_subdir=.hydra", "hydra.sweeper.n_trials=8", space=choices)
    assert len(proposals(folder)) == 8
    for trial in trials_of(folder):
        config = OmegaConf.load(folder / str(trial.number) / ".hydra/config.yaml")
        assert config.text == trial.params["text"]
        assert str(list(config.list)).replace(" ", "") == trial.params["list"]
        assert f"{{width:{config.deep.width}}}" == trial.params["deep"]


def test_several_objectives_leave_a_pareto_front(swept: Swept) -> None:
    folder = swept("returns=two", "hydra.sweeper.direction=[minimize,maximize]")
    trials = trials_of(folder)
    assert all(trial.values is not None and len(trial.values) == 2 for trial in trials)
    results = OmegaConf.load(folder / "optimization_results.yaml")
    front = [tuple(solution["values"]) for solution in results.solutions]
    for trial in trials:
        score, n = trial.values or ()
        beaten = any(a <= score and b >= n and (a, b) != (score, n) for a, b in front)
        assert beaten != ((score, n) in front)


def test_direction_turns_the_search(swept: Swept) -> None:
    folder = swept("hydra.sweeper.direction=maximize")
    results = OmegaConf.load(folder / "optimization_results.yaml")
    assert results.best_value == max(trial.values or () for trial in trials_of(folder))[0]


@pytest.mark.parametrize(
    ("returns", "error"),
    [
        ("none", "returned no score; expected a number"),
        ("text", "returned 'good'; expected a number"),
        ("two", "expected a number"),
    ],
)
def test_what_is_no_score_fails_the_trial(swept: Swept, returns: str, error: str) -> None:
    with pytest.raises(SweepError, match=r"1 of 1 trials failed, more than .*=0\.3") as raised:
        swept(f"returns={returns}")
    assert error in str(raised.value)


def test_a_wrong_number_of_scores_fails_the_trial(swept: Swept) -> None:
    with pytest.raises(SweepError, match="expected a list of 3 numbers"):
        swept("returns=two", "hydra.sweeper.direction=[minimize,minimize,minimize]")


def test_failures_stop_a_sweep_only_beyond_the_rate(swept: Swept) -> None:
    swept("crash=[0,1]", "hydra.sweeper.n_trials=4", "hydra.sweeper.max_failure_rate=0.5")
    with pytest.raises(SweepError, match=r"2 × RuntimeError: boom(.|\n)*resume=.*sweep2"):
        swept("crash=[0,1]", "hydra.sweeper.n_trials=4", folder="sweep2")
    assert (Path("sweep2") / "optimization_results.yaml").is_file()


@pytest.mark.parametrize("how", ["signalled", "interrupted"])
def test_a_signal_ends_the_sweep_and_fails_no_trial(
    swept: Swept, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    with pytest.raises(KeyboardInterrupt):
        swept(f"{how}=[1]")
    assert states(Path("sweep")) == {"finished": [0], "failed": [], "running": [1]}
    assert "`hydra.sweeper.resume=sweep`" in capsys.readouterr().out


def test_a_small_space_ends_early(swept: Swept, capsys: pytest.CaptureFixture[str]) -> None:
    folder = swept("hydra.sweeper.n_trials=9", space=("n=1,2", "kind=good,bad"))
    assert len(trials_of(folder)) == 4
    assert "every point of the space has been tried, in 4 trials" in capsys.readouterr().out


def test_no_trial_starts_after_the_sweeps_time(swept: Swept) -> None:
    folder = swept("hydra.sweeper.timeout_s=0.3", "seconds=0.2", "hydra.sweeper.n_trials=50")
    assert 1 <= len(trials_of(folder)) <= 2


@pytest.mark.parametrize(
    ("overrides", "error"),
    [
        ((), "no parameter to search"),
        (("x=interval(1.0,1.0)",), "is empty"),
        (("x=interval(1.0,0.5)",), "is reversed"),
        (("lr=tag(log,interval(0.0,1.0))",), "logarithm of 0"),
        (("n=range(5,5)",), r"range\(5,5,1\) is empty"),
        (("n=range(1,5)", "hydra.sweeper.conditions=['n > 9']"), "satisfies `n > 9`"),
        (("n=range(1,5)", "hydra.sweeper.conditions=['m > 9']"), "names `m`"),
        (("n=range(1,5)", "hydra.sweeper.strategy=guess"), "expected one of tree, uct, random"),
        (("n=range(1,5)", "hydra.sweeper.direction=down"), "expected `minimize` or `maximize`"),
        (("n=range(1,5)", "hydra.sweeper.n_trials=0"), r"n_trials`=0: expected at least 1"),
        (("n=range(1,5)", "hydra.sweeper.trial_timeout_s=-1"), "above 0, or null"),
        (("n=range(1,5)", "hydra.sweeper.max_failure_rate=2"), "a share from 0 to 1"),
        (("+hydra.sweeper.params={n:'range(1'}",), "cannot be read"),
        (("n=range(1,5)", "hydra.sweeper.warm_start=[nowhere]"), "no such folder or file"),
    ],
)
def test_what_cannot_be_searched_is_refused_without_a_folder(
    swept: Swept, overrides: tuple[str, ...], error: str
) -> None:
    with pytest.raises(ConfigError, match=error):
        swept(*overrides, space=())
    assert not Path("sweep").exists()


def test_a_key_that_the_task_lacks_ends_the_sweep_at_once(swept: Swept) -> None:
    with pytest.raises(ConfigCompositionException, match="Could not override 'xx'"):
        swept("xx=interval(0.0,1.0)")


def test_a_folder_is_not_taken_twice(swept: Swept) -> None:
    swept()
    with pytest.raises(ConfigError, match=r"already holds a sweep: .*resume=sweep"):
        swept()


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


def test_a_range_replaces_a_presets_choice(swept: Swept) -> None:
    """And a choice a range, a fixed value either, whatever prefix the keys have."""
    params = "+hydra.sweeper.params={lr:'0.001,0.01',n:'range(1,9)',x:'0.5',kind:'good,bad'}"
    space = ("lr=tag(log,interval(1e-4,1e-1))", "n=2,4", "++x=0.25,0.75", "++kind=good")
    folder = swept(params, space=space)
    assert {each["n"] for each in proposals(folder)} <= {2, 4}
    assert {each["x"] for each in proposals(folder)} <= {0.25, 0.75}
    plan = read_plan(read(folder / "journal.jsonl"))
    assert plan is not None
    assert plan["overrides"] == ["++kind=good"]


def test_fractions_for_a_whole_number_are_explained(swept: Swept) -> None:
    with pytest.raises(SweepError, match=r"`n=int\(interval\(1,4\)\)`"):
        swept("n=interval(1,4)", "returns=whole")
    with pytest.raises(SweepError, match=r"`n=tag\(log,int\(interval\(1,4\)\)\)`"):
        swept("n=tag(log,interval(1,4))", "returns=whole", folder="logs")


def test_hydras_own_settings_are_not_searched(swept: Swept) -> None:
    with pytest.raises(ConfigError, match="Sweeping over Hydra's configuration is not supported"):
        swept("+hydra.sweeper.params={hydra.verbose:'true,false'}")


def test_a_read_only_folder_is_refused(swept: Swept, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SaveError, match="Cannot write"):
        swept(folder="file/sweep")


def test_a_sweep_learns_from_earlier_ones(swept: Swept, tmp_path: Path) -> None:
    earlier = swept("hydra.sweeper.n_trials=10", folder="earlier")
    warm = swept("hydra.sweeper.warm_start=[earlier]", "hydra.sweeper.n_trials=10", folder="warm")
    table = "hydra.sweeper.warm_start=[earlier/trials.csv]"
    from_csv = swept(table, "hydra.sweeper.n_trials=10", folder="csv")
    assert read_prior(read(warm / "journal.jsonl")) == trials_of(earlier)
    assert proposals(warm) == proposals(from_csv)
    (tmp_path / "short.csv").write_text("x,lr,n,value\n1,2,3,4\n")
    with pytest.raises(ConfigError, match="has no column `kind`; expected one for each of x, lr"):
        swept("hydra.sweeper.warm_start=[short.csv]", folder="none")
    with pytest.raises(ConfigError, match="none of its 10 trials is a finished point"):
        swept("hydra.sweeper.warm_start=[earlier]", "x=interval(5.0,6.0)", folder="none")
    with pytest.raises(ConfigError, match=r"its directions are \['minimize'\], those of this"):
        swept("hydra.sweeper.warm_start=[earlier]", "hydra.sweeper.direction=maximize")


def test_scores_of_another_meaning_are_not_learned_from(swept: Swept) -> None:
    swept("+score=loss", folder="earlier")
    with pytest.raises(ConfigError, match=r"its scores are `score`=loss, .* `score`=accuracy"):
        swept("hydra.sweeper.warm_start=[earlier]", "+score=accuracy")


def test_a_kill_before_the_sweep_began_loses_no_earlier_trial(swept: Swept) -> None:
    swept(folder="earlier")
    warm = ("hydra.sweeper.warm_start=[earlier]", "hydra.sweeper.n_trials=10")
    journal = swept(*warm) / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    for left in range(1, 4):
        shutil.rmtree(journal.parent)
        journal.parent.mkdir()
        journal.write_bytes(b"".join(lines[:left])[:-1])
        swept(*warm, "hydra.sweeper.resume=sweep")
        assert len(read_prior(read(journal))) == 3
        assert proposals(journal.parent) == proposals(swept(*warm, folder=f"calm{left}"))


def test_earlier_trials_may_cover_the_space(
    swept: Swept, capsys: pytest.CaptureFixture[str]
) -> None:
    space = ("n=1,2", "kind=good,bad")
    swept("hydra.sweeper.n_trials=4", space=space, folder="earlier")
    swept("hydra.sweeper.warm_start=[earlier]", space=space)
    assert "every point of the space has been tried, in 0 trials" in capsys.readouterr().out
    swept("hydra.sweeper.warm_start=[earlier]", space=("n=1,3", space[1]), folder="other")
    assert "warm start: 2 scored trials are no points of this" in capsys.readouterr().out


def test_conditions_and_defaults_see_what_the_parameters_fix(swept: Swept) -> None:
    params = "+hydra.sweeper.params={n:'6',x:'choice(1,2,3,4,5,6)',kind:'good,bad'}"
    condition = "hydra.sweeper.conditions=['n % x == 0']"
    folder = swept(params, condition, "hydra.sweeper.n_trials=8", space=())
    assert {point["x"] for point in proposals(folder)} == {1, 2, 3, 6}


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("direction=3", "`hydra.sweeper.direction`=3: expected `minimize` or `maximize`, or a"),
        ("exploration=-1", "`hydra.sweeper.exploration`=-1.0; expected 0 or more"),
        ("max_depth=-3", "`hydra.sweeper.max_depth`=-3; expected 0 or more"),
    ],
)
def test_settings_that_make_no_sense(swept: Swept, override: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        swept(f"hydra.sweeper.{override}")


def test_a_launchers_own_failure_is_the_trials_that_caused_it(
    swept: Swept, monkeypatch: pytest.MonkeyPatch
) -> None:
    Plugins.instance()  # makes the launchers' classes anew
    basic = importlib.import_module("hydra._internal.core_plugins.basic_launcher").BasicLauncher
    launch = basic.launch

    def failing(self: Any, overrides: Any, initial_job_idx: int) -> Any:
        if any("n=7" in each for each in overrides):
            raise OSError("no machine free")
        return launch(self, overrides, initial_job_idx)

    monkeypatch.setattr(basic, "launch", failing)
    folder = swept("hydra.sweeper.n_jobs=3", "hydra.sweeper.max_failure_rate=0.5")
    trials = trials_of(folder)
    failed = [trial for trial in trials if trial.params["n"] == 7]
    assert failed
    assert [t.state for t in trials] == ["failed" if t in failed else "finished" for t in trials]
    assert failed[0].error == "the launcher failed: OSError: no machine free"


@pytest.mark.slow
@pytest.mark.parametrize(
    "launcher",
    ["hydra.sweeper.isolate=true", "hydra/launcher=joblib hydra.launcher.n_jobs=3"],
)
def test_trials_in_flight_end_when_they_end(tiny: Tiny, tmp_path: Path, launcher: str) -> None:
    """One trial hangs until its limit; the others do not wait for it."""
    if "joblib" in launcher:
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="no joblib launcher")
    finished = tiny(
        *launcher.split(), "hydra.sweeper.n_jobs=3", "hang=[1]", "hydra.sweeper.trial_timeout_s=8"
    )
    assert finished.returncode == 0, finished.stderr
    folder = tmp_path / "sweep"
    assert states(folder) == {"finished": [0, 2, 3, 4, 5], "failed": [1], "running": []}
    ends = [e["number"] for e in read(folder / "journal.jsonl") if e["event"] in ("finish", "fail")]
    assert ends[-1] == 1
    assert "the 3 workers were " in finished.stdout


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
    assert [event["search"] for event in after if event["event"] == "version"] == [2]
    swept("hydra.sweeper.n_trials=6", f"hydra.sweeper.resume={folder}")
    assert "the search has changed" not in capsys.readouterr().out
