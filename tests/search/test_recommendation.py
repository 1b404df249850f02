"""Noisy scores: what is repeated, what is recommended, and what confirms it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from infinito.errors import ConfigError
from infinito.search.search import FIRST_FRESH, Search
from infinito.search.space.space import Float, Space

SPACE = Space([Float("x", 0.0, 1.0), Float("y", 0.0, 1.0)])


def measure(params: dict[str, Any], repeat: int, noise: float) -> float:
    """A bowl from 0 to about 1.1, its noise drawn by the point and the repeat alone."""
    x, y = params["x"], params["y"]
    rng = np.random.default_rng([int(x * 1e9), int(y * 1e9), repeat])
    return (x - 0.3) ** 2 + (y - 0.7) ** 2 + noise * rng.standard_normal()


def play(trials: int, noise: float = 0.2, **settings: Any) -> Search:
    search = Search(SPACE, **settings)
    for _ in range(trials):
        (trial,) = search.ask()
        search.tell(trial.number, measure(trial.params, trial.repeat, noise))
    return search


def test_three_repeats_are_three_trials_of_a_point() -> None:
    search = play(10, repeats=3)
    assert [trial.repeat for trial in search.trials] == [0, 1, 2] * 3 + [0]
    points = [trial.params for trial in search.trials]
    assert points[0] == points[1] == points[2] != points[3]
    once = play(4)
    assert [trial.params for trial in once.trials[:3]] == points[::3][:3]  # the design is the same


def test_the_search_repeats_more_where_it_doubts_more() -> None:
    noisy, exact = (play(40, noise=noise, repeats="auto") for noise in (0.2, 0.0))
    doubted, sure = (sum(t.repeat > 0 for t in each.trials) for each in (noisy, exact))
    assert doubted >= 4
    assert sure < doubted
    repeated = [trial for trial in noisy.trials if trial.repeat]
    firsts = [t for t in noisy.trials if t.params == repeated[0].params]
    assert [trial.repeat for trial in firsts] == list(range(len(firsts)))


def test_the_recommended_point_is_the_believed_one_not_the_luckiest() -> None:
    """Means over six seeds of the true value, of what is recommended and what looked best."""
    believed, luckiest = [], []
    for seed in range(6):
        search = play(30, seed=seed, repeats="auto")
        found, best = search.recommend(), search.best()
        assert found is not None
        assert best is not None
        believed.append(measure(found.params, 0, 0.0))
        luckiest.append(measure(best.params, 0, 0.0))
    assert np.mean(believed) < np.mean(luckiest)


def test_without_noise_the_best_is_recommended() -> None:
    search = play(12, noise=0.0)
    assert search.recommend() is search.best()


def test_nothing_is_recommended_before_a_trial_has_finished() -> None:
    assert Search(SPACE, repeats=2).recommend() is None
    search = Search(SPACE, repeats=2)
    (trial,) = search.ask()
    search.tell(trial.number, error="boom")
    assert search.recommend() is None


def test_confirmations_pair_the_recommended_point_with_the_defaults() -> None:
    search = play(12, repeats="auto", defaults=[{"x": 0.9, "y": 0.1}])
    found = search.recommend()
    assert found is not None
    fresh = search.confirm(2)
    assert [trial.repeat for trial in fresh] == [FIRST_FRESH] * 2 + [FIRST_FRESH + 1] * 2
    assert [trial.confirms for trial in fresh] == ["recommended", "defaults"] * 2
    assert fresh[0].params == found.params
    assert fresh[1].params == {"x": 0.9, "y": 0.1}
    for trial in fresh:
        search.tell(trial.number, -9.0)
    assert search.confirm(2) == []  # nothing is paid twice
    assert search.best() not in fresh
    assert search.recommend() is not None
    assert search.recommend().params == found.params  # type: ignore[union-attr]
    assert len(search.confirm(3)) == 2


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"repeats": 0}, "`repeats`=0: expected a whole number of at least 1, or `auto`"),
        ({"repeats": 1.5}, "`repeats`=1.5: expected a whole number"),
        ({"repeats": "often"}, "`repeats`=often: expected a whole number"),
        ({"repeats": "auto", "strategy": "random"}, "needs `strategy=tree`, not random"),
        ({"repeats": 2, "directions": ("minimize", "maximize")}, "needs one objective"),
    ],
)
def test_repeats_that_make_no_sense(settings: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        Search(SPACE, **settings)
