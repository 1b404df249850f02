"""What every strategy keeps to, whatever it proposes."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from infinito.search.search import Search
from infinito.search.space.sampling import Sampler, exclude
from infinito.search.space.space import Categorical, Float, Int, Space
from infinito.search.strategies.assembly import make_strategy
from infinito.search.strategies.strategy import Strategy

MIXED = Space(
    [
        Int("dim", 16, 128, step=16),
        Categorical("heads", [1, 2, 4, 8]),
        Float("lr", 1e-4, 1e-1, log=True),
        Categorical("metric", ["l1", "dot", "cosine"]),
    ],
    ["dim % heads == 0"],
)


def loss(p: dict[str, Any]) -> float:
    """0 at lr = 10^-2.5, dim = 64 and cosine."""
    return (math.log10(p["lr"]) + 2.5) ** 2 + (p["metric"] != "cosine") + abs(p["dim"] - 64) / 64


def play(
    search: Search, count: int, score: Callable[[dict[str, Any]], float] = loss, n: int = 1
) -> Search:
    """Run a search up to so many trials, n in flight at once."""
    while len(search.trials) < count:
        for trial in search.ask(n):
            search.tell(trial.number, score(trial.params))
    return search


def proposals(search: Search) -> list[dict[str, Any]]:
    return [trial.params for trial in search.trials]


class StrategyContract:
    """Subclassed by the test of each strategy."""

    name: str

    def search(self, space: Space = MIXED, **settings: Any) -> Search:
        return Search(space, strategy=self.name, **settings)

    def strategy(self) -> Strategy:
        return make_strategy(self.name, Sampler(MIXED, 0), "ucb1_tuned", math.sqrt(2), 15)

    def test_the_seed_decides(self) -> None:
        first, second, other = (play(self.search(seed=seed), 20) for seed in (1, 1, 2))
        assert proposals(first) == proposals(second)
        assert proposals(first) != proposals(other)

    def test_a_search_rebuilt_from_its_trials_goes_on_the_same(self) -> None:
        """Finished, failed and running trials, earlier ones and a default among them."""
        earlier = play(self.search(seed=9), 5).trials
        settings: dict[str, Any] = {
            "seed": 3,
            "defaults": [{"heads": 4}],
            "prior_trials": earlier,
        }
        search = self.search(**settings)
        for number in range(30):
            trial = search.ask()[0]
            if number % 7 == 6:
                search.tell(number, error="out of memory")
            else:
                search.tell(number, loss(trial.params))
        for stage in range(3):
            again = self.search(**settings, trials=copy.deepcopy(search.trials))
            asked = search.ask(2)
            assert [t.params for t in again.ask(2)] == [t.params for t in asked]
            search.tell(asked[stage % 2].number, loss(asked[stage % 2].params))

    def test_a_proposal_leaves_nothing_behind(self) -> None:
        """Equal evidence and generators give equal points, whatever was proposed in between."""
        short = play(self.search(), 12)._collect_evidence()
        long = play(self.search(), 25)._collect_evidence()
        strategy = self.strategy()
        first = strategy.propose(short, np.random.default_rng(0))
        strategy.propose(long, np.random.default_rng(1))
        again = strategy.propose(short, np.random.default_rng(0))
        fresh = self.strategy().propose(short, np.random.default_rng(0))
        assert first is not None
        assert again is not None
        assert fresh is not None
        assert np.array_equal(first, again)
        assert np.array_equal(first, fresh)

    def test_proposals_are_feasible_values_without_a_trial(self) -> None:
        evidence, strategy = play(self.search(), 25)._collect_evidence(), self.strategy()
        rows = [strategy.propose(evidence, np.random.default_rng(seed)) for seed in range(5)]
        found = np.array([row for row in rows if row is not None])
        assert len(found)
        assert MIXED.is_feasible(found).all()
        assert np.allclose(MIXED.snap(found), found, rtol=0, atol=1e-12)
        assert len(exclude(found, evidence.rows)) == len(found)

    def test_several_in_flight_differ_and_keep_conditions(self) -> None:
        search = play(self.search(), 12)
        batch = search.ask(8)
        assert len({tuple(trial.params.values()) for trial in batch}) == 8
        assert all(MIXED.contains(trial.params) for trial in batch)

    def test_trials_in_flight_may_end_in_any_order(self) -> None:
        searches = [self.search(seed=2) for _ in range(2)]
        for turn, search in zip((1, -1), searches, strict=True):
            for _ in range(5):
                for trial in search.ask(4)[::turn]:
                    search.tell(trial.number, loss(trial.params))
        assert proposals(searches[0]) == proposals(searches[1])

    def test_defaults_come_first(self) -> None:
        search = self.search(defaults=[{"dim": 96, "heads": 2, "metric": "dot"}, {"heads": 8}])
        first, second = search.ask(2)
        assert {"dim": 96, "heads": 2, "metric": "dot"}.items() <= first.params.items()
        assert second.params["heads"] == 8

    def test_a_small_space_is_used_up_without_repeats(self) -> None:
        space = Space(
            [Categorical("a", [1, 2, 3]), Categorical("b", ["x", "y"])], ["a < 3 or b == 'x'"]
        )
        search = self.search(space)
        tried = []
        while batch := search.ask(4):
            for trial in batch:
                tried.append(tuple(trial.params.values()))
                search.tell(trial.number, trial.params["a"])
        assert len(tried) == len(set(tried)) == space.count() == 5

    def test_a_condition_that_few_points_keep(self) -> None:
        space = Space([Float("x", 0, 1), Float("y", 0, 1)], ["0.301 < x < 0.31"])
        search = play(self.search(space), 12, lambda p: p["y"])
        assert all(0.301 < trial.params["x"] < 0.31 for trial in search.trials)

    def test_only_failures_so_far(self) -> None:
        search = self.search()
        for number in range(12):
            search.ask()
            search.tell(number, error="crash")
        assert search.best() is None
        assert search.pareto_front() == []
        assert MIXED.contains(search.ask()[0].params)

    def test_maximising_is_minimising_the_negative(self) -> None:
        down = play(self.search(seed=5), 20)
        up = play(self.search(seed=5, directions=("maximize",)), 20, lambda p: -loss(p))
        assert proposals(down) == proposals(up)

    def test_two_objectives(self) -> None:
        searches = [self.search(directions=("minimize", "maximize")) for _ in range(2)]
        for search in searches:
            for _ in range(15):
                (trial,) = search.ask()
                search.tell(trial.number, (loss(trial.params), trial.params["dim"]))
        assert proposals(searches[0]) == proposals(searches[1])
        assert searches[0].pareto_front()
