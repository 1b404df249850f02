"""Ask and tell: repeatable, parallel, robust to failures, never the same point twice."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from infinito.errors import ConfigError
from infinito.search.search import Search
from infinito.search.space.space import Float, Int, Space
from infinito.search.strategies.assembly import STRATEGIES
from infinito.search.strategies.tree_search import SELECTIONS
from infinito.search.trials import Trial
from tests.search.strategies.strategy_contract import MIXED, loss, play


def test_the_tree_beats_chance_and_plain_uct() -> None:
    """Sums over three seeds of the best loss after 40 trials."""
    sums = dict.fromkeys(STRATEGIES, 0.0)
    for strategy in STRATEGIES:
        for seed in range(3):
            search = Search(MIXED, seed=seed, strategy=strategy)
            play(search, 40)
            best = search.best()
            assert best is not None
            assert best.values is not None
            sums[strategy] += best.values[0]
    assert sums["tree"] < 0.05
    assert sums["tree"] < min(sums["random"], sums["uct"]) / 3


@pytest.mark.parametrize("selection", SELECTIONS)
def test_each_selection_proposes_from_a_grown_tree(selection: str) -> None:
    search = Search(MIXED, seed=0, selection=selection)
    play(search, 40)
    assert search.tree()["children"]
    best = search.best()
    assert best is not None
    assert best.params["metric"] == "cosine"


def test_defaults_come_first_and_are_complete() -> None:
    search = Search(MIXED, defaults=[{"dim": 96, "heads": 2, "lr": 0.01, "metric": "dot"}, {}])
    first, second = search.ask(2)
    assert first.params == {"dim": 96, "heads": 2, "lr": pytest.approx(0.01), "metric": "dot"}
    assert MIXED.contains(second.params)
    partly = Search(MIXED, defaults=[{"heads": 8}], strategy="random")
    assert partly.ask()[0].params["heads"] == 8


def test_a_batch_differs_and_keeps_conditions() -> None:
    search = Search(MIXED, seed=0)
    play(search, 10)
    batch = search.ask(8)
    assert len({tuple(trial.params.values()) for trial in batch}) == 8
    assert all(MIXED.contains(trial.params) for trial in batch)
    assert np.ptp([math.log10(trial.params["lr"]) for trial in batch]) > 0.1


def test_failures_steer_away_and_never_win() -> None:
    """A tenth of the space scores best but crashes: the search leaves it."""
    space = Space([Float("x", 0, 1), Float("y", 0, 1)])
    search = Search(space, seed=0)
    for _ in range(40):
        trial = search.ask()[0]
        x, y = trial.params["x"], trial.params["y"]
        if x < 0.1:
            search.tell(trial.number, math.nan)
        else:
            search.tell(trial.number, x + (y - 0.5) ** 2)
    failed = [trial for trial in search.trials if trial.state == "failed"]
    assert 0 < len(failed) < 20
    assert failed[0].error == "the score is nan"
    best = search.best()
    assert best is not None
    assert best.params["x"] == pytest.approx(0.1, abs=0.05)


def test_two_objectives_reach_the_front() -> None:
    """x² against (x − 1)² with y in both: the front is y = 0, x from 0 to 1."""
    space = Space([Float("x", -1, 2), Float("y", 0, 1)])
    search = Search(space, directions=("minimize", "maximize"), seed=0)
    while len(search.trials) < 45:
        trial = search.ask()[0]
        x, y = trial.params["x"], trial.params["y"]
        search.tell(trial.number, (x**2 + y, -((x - 1) ** 2) - y))
    front = search.pareto_front()
    good = [t for t in front if t.params["y"] < 0.05 and -0.05 < t.params["x"] < 1.05]
    assert len(good) > 10
    assert np.ptp([t.params["x"] for t in good]) > 0.7


def test_pareto_front_by_hand() -> None:
    """(1, 3) and (2, 2) stand; (2, 3) loses to both, (3, 3) to all."""
    search = Search(MIXED, directions=("minimize", "minimize"))
    for trial, values in zip(search.ask(4), [(1, 3), (2, 2), (2, 3), (3, 3)], strict=True):
        search.tell(trial.number, values)
    assert [trial.number for trial in search.pareto_front()] == [0, 1]


def test_earlier_trials_warm_the_start() -> None:
    """With 20 earlier trials the first proposal is near the best, and they are not counted."""
    earlier = Search(MIXED, seed=1)
    play(earlier, 20)
    search = Search(MIXED, seed=2, prior_trials=earlier.trials)
    play(search, 6)
    best = search.best()
    assert best is not None
    assert best.number < 6
    assert loss(best.params) < 0.3
    assert search.tree()["visits"] == 26


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"directions": ()}, "`directions` is empty"),
        ({"directions": ("down",)}, "`directions` has 'down'"),
        ({"strategy": "grid"}, "`strategy`='grid'"),
        ({"selection": "ucb"}, "`selection`='ucb'"),
        ({"defaults": [{"width": 3}]}, "a default gives `width`"),
        ({"defaults": [{"dim": 17}]}, "`dim`=17 is not in the space"),
        ({"prior_trials": [Trial(0, {"dim": 16})]}, "`heads` has no value"),
    ],
)
def test_faults(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Search(MIXED, **arguments)


def test_a_default_that_breaks_a_condition() -> None:
    space = Space([Int("dim", 1, 64), Int("heads", 1, 64)], ["dim % heads == 0"])
    with pytest.raises(ConfigError, match="breaks a condition"):
        Search(space, defaults=[{"dim": 7, "heads": 2}])


def test_telling_what_was_not_asked() -> None:
    search = Search(MIXED)
    with pytest.raises(ConfigError, match="trial 0 is not running"):
        search.tell(0, 1.0)
    search.ask()
    with pytest.raises(ConfigError, match="trial 0 has 2 scores; expected 1"):
        search.tell(0, (1.0, 2.0))
    search.tell(0, 1.0)
    with pytest.raises(ConfigError, match="trial 0 is not running"):
        search.tell(0, 1.0)


def test_importing_is_light() -> None:
    code = "import sys, infinito.search; print({'numpy', 'scipy', 'torch'} & set(sys.modules))"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout == "set()\n"
