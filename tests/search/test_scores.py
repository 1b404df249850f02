"""Losses become ranks, bent scores, and one number from several objectives."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import skew, yeojohnson

from infinito.search.scores import has_plateau, is_plateau, normalise, rank, scalarise


def test_ranks_by_hand() -> None:
    """Best 1, worst 0; the two 5s share ranks 1 and 2 of 0…3: 1 − 1.5 / 3."""
    assert rank(np.array([5.0, 1.0, 9.0, 5.0])) == pytest.approx([0.5, 1.0, 0.0, 0.5])
    assert rank(np.array([3.0, 3.0])).tolist() == [0.5, 0.5]
    assert rank(np.array([3.0])).tolist() == [0.5]
    assert rank(np.empty(0)).tolist() == []


def test_normalised_keeps_the_order_and_straightens() -> None:
    losses = np.exp(2 * np.random.default_rng(0).standard_normal(200))
    bent = normalise(losses)
    assert (np.argsort(bent) == np.argsort(losses)).all()
    assert bent.mean() == pytest.approx(0, abs=1e-9)
    assert bent.std() == pytest.approx(1)
    assert abs(skew(bent)) < 0.8 < skew(losses)


def test_normalised_is_yeo_and_johnsons() -> None:
    """scipy finds the power by search, this code on a grid of quarters: nearly the same scores."""
    losses = np.random.default_rng(1).gamma(2.0, size=300)
    z = (losses - losses.mean()) / losses.std()
    reference = yeojohnson(z)[0]
    reference = (reference - reference.mean()) / reference.std()
    assert normalise(losses) == pytest.approx(reference, abs=0.1)


def test_equal_losses_have_no_shape() -> None:
    assert normalise(np.full(5, 1e9)).tolist() == [0.0] * 5


def test_several_objectives_by_hand() -> None:
    """Scaled to [0, 1]: (0, 1), (1, 0), (0.5, 0.5); halves: maxima .5 .5 .25, plus 5 % of sums."""
    table = np.array([[0.0, 30.0], [4.0, 10.0], [2.0, 20.0]])
    assert scalarise(table, None) == pytest.approx([0.525, 0.525, 0.275])


def test_random_weights_reach_both_ends() -> None:
    table = np.array([[0.0, 1.0], [1.0, 0.0], [0.4, 0.4]])
    winners = {int(np.argmin(scalarise(table, np.random.default_rng(seed)))) for seed in range(50)}
    assert winners == {0, 1, 2}


def test_unknown_losses_stay_unknown() -> None:
    table = np.array([[0.0, 1.0], [np.nan, np.nan], [1.0, 0.0]])
    assert np.isnan(scalarise(table, None)).tolist() == [False, True, False]


def test_a_diverged_loss_leaves_the_others_apart() -> None:
    """It counts as the worst of them, 8."""
    losses = np.array([1.0, 2, 3, 4, 5, 6, 7, 8, 1e30, math.pi])
    bent = normalise(losses)
    assert bent == pytest.approx(normalise(np.where(losses > 100, 8, losses)))
    assert np.ptp(bent[:8]) > 2


def test_diverged_losses_among_the_first_leave_the_others_apart() -> None:
    """They count as the worst of the others."""
    losses = np.array([1.0, 2, 1e30, 1e30, 1e30, 1e29, 1e30, 1e30, 3, 4, 5, 6, 7, 8, 90])
    bent = normalise(losses)
    assert bent == pytest.approx(normalise(np.where(losses > 100, 90, losses)))
    assert np.ptp(bent[losses < 10]) > 0.1


def test_heavy_tails_are_not_cut() -> None:
    """Each is far from the one before, but none a million times as far: as in a steep valley."""
    losses = np.array([0.0, 1.0, 1.0, 40.0, 9e3, 2e4, 3e5, 4e5])
    assert (np.argsort(normalise(losses), kind="stable") == np.arange(8)).all()


def test_decades_are_straightened_by_logarithms() -> None:
    """Of 10^(6q) the powers leave two groups; the logarithms are evenly spread, as q is."""
    shares = np.random.default_rng(0).random(80)
    scores = normalise(10 ** (6 * shares) - 1)
    assert (np.argsort(scores) == np.argsort(shares)).all()
    assert np.corrcoef(scores, shares)[0, 1] > 0.95


def test_scores_of_one_order_of_magnitude_keep_their_power() -> None:
    """Logarithms of the distance to the least would stretch the best of them without need."""
    losses = np.random.default_rng(1).gamma(2.0, size=100)
    best, second = np.sort(normalise(losses))[:2]
    assert second - best < 0.5


def test_a_tenth_of_diverged_losses_leaves_the_others_spread() -> None:
    losses = np.random.default_rng(2).standard_normal(60)
    losses[::10] = 1e30
    sound = normalise(losses)[losses < 1e30]
    assert sound.std() > 0.5
    assert np.isfinite(sound).all()


def test_plateaus_by_hand() -> None:
    """Three of five share the least loss; three of five another; two of four are not over half."""
    assert is_plateau(np.array([1.0, 1, 1, 2, 3]))
    assert not is_plateau(np.array([0.5, 1, 1, 1, 3]))
    assert has_plateau(np.array([0.5, 1, 1, 1, 3]))
    assert not has_plateau(np.array([1.0, 1, 2, 3]))
