"""Random search keeps the contract and looks nowhere more than elsewhere."""

from __future__ import annotations

import numpy as np

from infinito.search.search import Search
from infinito.search.space.space import Float, Space
from tests.search.strategies.strategy_contract import StrategyContract, play


class TestRandomSearch(StrategyContract):
    name = "random"


def test_scores_change_nothing() -> None:
    space = Space([Float("x", 0, 1)])
    first = play(Search(space, strategy="random"), 30, lambda p: p["x"])
    second = play(Search(space, strategy="random"), 30, lambda p: -p["x"])
    assert [t.params for t in first.trials] == [t.params for t in second.trials]


def test_draws_are_uniform() -> None:
    """Of 200 draws 50 ± 6 lie in each quarter; 20 away would be more than three deviations."""
    search = Search(Space([Float("x", 0, 1)]), strategy="random")
    drawn = [trial.params["x"] for trial in search.ask(200)]
    counts, _ = np.histogram(drawn, bins=4, range=(0, 1))
    assert (np.abs(counts - 50) < 20).all()
