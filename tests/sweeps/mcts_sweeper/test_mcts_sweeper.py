"""Sweeps as a user starts them, of an application of a few milliseconds."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from infinito.sweeps.record.history import read_plan
from infinito.sweeps.record.journal import read
from tests.sweeps.mcts_sweeper.tiny_sweeps import Swept, Tiny, proposals, states, trials_of


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


def test_a_small_space_ends_early(swept: Swept, capsys: pytest.CaptureFixture[str]) -> None:
    folder = swept("hydra.sweeper.n_trials=9", space=("n=1,2", "kind=good,bad"))
    assert len(trials_of(folder)) == 4
    assert "every point of the space has been tried, in 4 trials" in capsys.readouterr().out


def test_no_trial_starts_after_the_sweeps_time(swept: Swept) -> None:
    folder = swept("hydra.sweeper.timeout_s=1.5", "seconds=1", "hydra.sweeper.n_trials=50")
    assert 1 <= len(trials_of(folder)) <= 2


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


def test_conditions_and_defaults_see_what_the_parameters_fix(swept: Swept) -> None:
    params = "+hydra.sweeper.params={n:'6',x:'choice(1,2,3,4,5,6)',kind:'good,bad'}"
    condition = "hydra.sweeper.conditions=['n % x == 0']"
    folder = swept(params, condition, "hydra.sweeper.n_trials=8", space=())
    assert {point["x"] for point in proposals(folder)} == {1, 2, 3, 6}
