"""Trials that crash, hang, are killed or return no score, and sweeps that are stopped."""

from __future__ import annotations

from pathlib import Path

import pytest

from infinito.errors import SweepError
from tests.sweeps.mcts_sweeper.tiny_sweeps import Swept, Tiny, states, trials_of


def test_crash_nan_hang_and_a_killed_process_do_not_end_a_sweep(tiny: Tiny, tmp_path: Path) -> None:
    faults = ("crash=[1]", "nan=[2]", "hang=[3]", "die=[4]", "hydra.sweeper.isolate=true")
    limits = ("hydra.sweeper.trial_timeout_s=4", "hydra.sweeper.max_failure_rate=0.7")
    finished = tiny(*faults, *limits)
    assert finished.returncode == 0, finished.stderr
    assert states(tmp_path / "sweep") == {"finished": [0, 5], "failed": [1, 2, 3, 4], "running": []}
    errors = [trial.error for trial in trials_of(tmp_path / "sweep")]
    assert errors[1] == "RuntimeError: boom"
    assert errors[2] == "ValueError: the score is nan, which is not finite"
    assert errors[3] == "stopped after 4 s, the limit of `hydra.sweeper.trial_timeout_s`"
    assert errors[4] == "the trial's process ended (SIGKILL)"
    trace = (tmp_path / "sweep/1/error.txt").read_text()
    assert "tiny_app.py" in trace
    assert "RuntimeError: boom" in trace


@pytest.mark.slow
def test_a_trial_that_nothing_interrupts_is_killed(tiny: Tiny, tmp_path: Path) -> None:
    isolated = ("hydra.sweeper.isolate=true", "hydra.sweeper.trial_timeout_s=4")
    finished = tiny("deaf=[1]", *isolated, "hydra.sweeper.max_failure_rate=0.5", trials=3)
    assert finished.returncode == 0, finished.stderr
    assert states(tmp_path / "sweep") == {"finished": [0, 2], "failed": [1], "running": []}
    error = trials_of(tmp_path / "sweep")[1].error
    assert error is not None
    assert error.endswith("it did not answer and was killed")


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


def test_fractions_for_a_whole_number_are_explained(swept: Swept) -> None:
    with pytest.raises(SweepError, match=r"`n=int\(interval\(1,4\)\)`"):
        swept("n=interval(1,4)", "returns=whole")
    with pytest.raises(SweepError, match=r"`n=tag\(log,int\(interval\(1,4\)\)\)`"):
        swept("n=tag(log,interval(1,4))", "returns=whole", folder="logs")
