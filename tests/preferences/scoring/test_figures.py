"""Rewards, accuracies and intervals, worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from infinito.preferences.scoring.figures import (
    PreferenceScores,
    correlate_with_length,
    mean_interval,
    measure_displacement,
    score_by_length,
    share_interval,
    summarize_by_category,
    summarize_scores,
)


def scores(margins: list[float], longer: list[int] | None = None) -> PreferenceScores:
    """Pairs whose margins in nats are given; the rejected answers stay as the reference has them.

    Args:
        margins: what the chosen answers gained.
        longer: tokens that the chosen answer has more.
    """
    n = len(margins)
    return PreferenceScores(
        chosen=np.array(margins) - 10,
        rejected=np.full(n, -5.0),
        reference_chosen=np.full(n, -10.0),
        reference_rejected=np.full(n, -5.0),
        chosen_tokens=np.full(n, 9) + np.array(longer or [0] * n),
        rejected_tokens=np.full(n, 9),
        categories=["a", "b"] * (n // 2) + ["a"] * (n % 2),
    )


def test_figures_by_hand() -> None:
    """β 0.5, gains 2, −2, 4, 0 nats: rewards 1, −1, 2, 0, mean 0.5; 2 of 4 right, one tied."""
    found = summarize_scores(scores([2.0, -2.0, 4.0, 0.0]), beta=0.5)
    assert found["margin"]["mean"] == found["reward_chosen"] == 0.5
    assert found["reward_rejected"] == 0
    assert found["accuracy"]["share"] == 0.5
    assert found["raw_accuracy"]["share"] == 0  # −5 nats are more than the −10 of the chosen
    assert (found["pairs"], found["ties"]) == (4, 1)
    assert (found["logp_chosen"], found["logp_rejected"]) == (-9.0, -5.0)


def test_rounding_is_a_tie() -> None:
    """A nat's hundred-thousandth is no preference, however large β is."""
    found = summarize_scores(scores([1e-5, -1e-5, 1e-3, 1.0]), beta=50)
    assert (found["ties"], found["accuracy"]["share"]) == (2, 0.5)


def test_wilson_of_halves() -> None:
    """2½ of 4, z² = 3.8415: (0.625 + 0.4802 ± 1.96·√(0.0586 + 0.0600)) / 1.9604."""
    found = share_interval(np.array([1, 1, 0.5, 0]))
    assert found["low"] == pytest.approx(0.2194, abs=1e-3)
    assert found["high"] == pytest.approx(0.9081, abs=1e-3)


def test_categories_are_parted() -> None:
    found = summarize_by_category(scores([2.0, -2.0, 4.0, 0.0]), beta=0.5)
    assert {name: each["margin"]["mean"] for name, each in found.items()} == {"a": 1.5, "b": -0.5}


def test_wilson_interval() -> None:
    """8 of 8: the lower bound is 1/(1 + z²/8) = 0.6756 with z = 1.96."""
    found = share_interval(np.ones(8, dtype=bool))
    assert (found["share"], found["high"]) == (1, 1)
    assert found["low"] == pytest.approx(1 / (1 + 1.959964**2 / 8), abs=1e-6)


def test_t_interval() -> None:
    """1, 2, 3: mean 2, standard error 1/√3, t(2) = 4.3027."""
    found = mean_interval(np.array([1.0, 2.0, 3.0]))
    assert found["low"] == pytest.approx(2 - 4.302653 / math.sqrt(3), abs=1e-5)
    assert math.isnan(mean_interval(np.array([1.0]))["low"])


def test_length_alone() -> None:
    """Longer, longer, shorter, equal: 2½ of 4 and 1½ of 4."""
    found = score_by_length(scores([1.0] * 4, longer=[1, 1, -1, 0]))
    assert found["longer_wins"]["share"] == 0.625
    assert found["shorter_wins"]["share"] == 0.375


def test_correlation_with_length() -> None:
    assert correlate_with_length(scores([1, 2, 3], [1, 2, 3]), 0.1) == pytest.approx(1)
    assert correlate_with_length(scores([3, 2, 1], [1, 2, 3]), 0.1) == pytest.approx(-1)
    assert correlate_with_length(scores([1, 2, 3], [5, 5, 5]), 0.1) is None


def test_displacement() -> None:
    found = measure_displacement(np.array([2.0, -2.0, -3.0, -1.0]), np.zeros(4))
    assert found["chosen_change_nats"] == -1
    assert found["share_of_chosen_that_fell"] == 0.75
    assert found["rejected_change_nats"] == 0
