"""The reward formulas, by the published examples and by hand."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from infinito.cli.composition import check
from infinito.config import RewardConf
from infinito.errors import NonFiniteError
from infinito.paths import conf_dir
from infinito.rl.environment.metrics import Metrics
from infinito.rl.environment.rewards import compute_reward_terms, sum_terms

Point = tuple[float, float, float, float]

GOLDEN: list[tuple[Point, Point, float]] = [
    ((0.48, 4.3, 85, 0.3), (0.50, 4.5, 80, 0.3), 0.216),
    ((0.45, 4.8, 90, 0.2), (0.47, 5.0, 85, 0.2), 0.236),
    ((0.52, 6.5, 70, 0.4), (0.54, 7.0, 65, 0.4), -0.353),
    ((0.48, 5.2, 12, 0.3), (0.49, 5.3, 5, 0.3), -0.792),
    ((0.45, 4.0, 90, 0.3), (0.46, 6.5, 85, 0.3), -0.244),
    ((0.35, 3.2, 120, 0.2), (0.36, 2.5, 115, 0.2), -0.476),
    ((0.40, 4.2, 180, 0.3), (0.41, 4.3, 250, 0.3), -0.039),
    ((0.48, 4.3, 80, 0.25), (0.50, 4.5, 75, 0.25), 0.226),
]
"""(C, Φ, perplexity, memory use) before and after, and what v2 pays."""


class Reported(Metrics):
    """Metrics whose C is given, as in the published examples, where it is not Φ/10."""

    given: float

    @property
    def coherence(self) -> np.ndarray:
        return np.array([self.given])


def weights(name: str) -> RewardConf:
    return check(
        ["task=rl_scheduler", "score=val/return", f"rl/reward={name}"], conf_dir()
    ).rl.reward


def metrics(point: Point) -> Metrics:
    coherence, phi, perplexity, memory = point
    made = Reported(*(np.array([each]) for each in (np.log(perplexity), phi, 0.0, memory)))
    made.given = coherence
    return made


def reward(name: str, before: Point, after: Point, base: float = 50.0) -> float:
    return float(
        sum_terms(compute_reward_terms(metrics(before), metrics(after), weights(name), base))[0]
    )


@pytest.mark.parametrize(("before", "after", "expected"), GOLDEN)
def test_v2_pays_what_was_published(before: Point, after: Point, expected: float) -> None:
    assert reward("v2", before, after) == pytest.approx(expected, abs=5.1e-4)


def test_v1_by_hand() -> None:
    """0.02·1 + 0.2·0.5 + 0.1·5/85 − 0.2·0.3 = 0.0658824."""
    before, after, _ = GOLDEN[0]
    assert reward("v1", before, after) == pytest.approx(0.0658824, abs=1e-6)


def test_v2_relative_moves_the_bounds_with_the_base_model() -> None:
    """At a base of 2, the bounds are 0.6 and 6; a perplexity of 9 costs 0.3·(9 − 6)/3 = 0.3."""
    point = (0.5, 4.5, 9.0, 0.0)
    assert reward("v2_relative", point, point, base=2.0) == pytest.approx(0.15 - 0.3)
    assert reward("v2_relative", point, point, base=9.0) == pytest.approx(0.15)
    low = (0.5, 4.5, 3.0, 0.0)
    assert reward("v2_relative", low, low, base=20.0) == pytest.approx(0.15 - 2 * 3 / 6)


def test_v3_adds_up_to_the_fall_of_the_loss_along_any_path() -> None:
    ways = ([40.0, 20.0, 10.0], [40.0, 400.0, 15.0, 10.0])
    for way in ways:
        points = [(0.9, 9.0, each, 0.7) for each in way]
        earned = sum(reward("v3", a, b) for a, b in pairwise(points))
        assert earned == pytest.approx(10 * np.log(40 / 10))


def test_v3_pays_nothing_for_phi_coherence_or_memory() -> None:
    assert reward("v3", (0.1, 1.0, 30.0, 0.9), (0.5, 5.0, 30.0, 0.1)) == 0


def test_without_change_only_the_bonuses_are_paid() -> None:
    point = (0.5, 4.5, 50.0, 0.0)
    assert reward("v1", point, point) == 0
    assert reward("v2", point, point) == pytest.approx(0.10 + 0.05)


def test_a_term_that_is_not_a_number_is_named() -> None:
    before, after = (0.5, 4.5, 50.0, 0.0), (0.5, float("nan"), 50.0, 0.0)
    with pytest.raises(NonFiniteError, match="the reward's term `phi` is"):
        reward("v2", before, after)


def test_several_environments_are_independent() -> None:
    columns = [np.array(column) for column in ((1.0, 2.0), (2.0, 7.0), (1.0, 1.0), (0.1, 0.2))]
    both = sum_terms(
        compute_reward_terms(Metrics(*columns), Metrics(*columns), weights("v2"), 50.0)
    )
    for index in range(2):
        one = Metrics(*(column[index : index + 1] for column in columns))
        assert sum_terms(compute_reward_terms(one, one, weights("v2"), 50.0))[0] == both[index]
