"""Losses of trials: less is better, and NaN where there is no score."""

from __future__ import annotations

import math

import numpy as np

from infinito.search.trials import Trial, tabulate_losses


def test_scores_are_signed_and_missing_ones_are_nan() -> None:
    trials = [
        Trial(0, {}, (1.0, 2.0), "finished"),
        Trial(1, {}),
        Trial(2, {}, None, "failed", "out of memory"),
        Trial(3, {}, (1.0, math.inf), "finished"),
    ]
    losses = tabulate_losses(trials, (1, -1))
    assert losses[0].tolist() == [1.0, -2.0]
    assert np.isnan(losses[1:]).all()


def test_no_trials_are_no_rows() -> None:
    assert tabulate_losses([], (1, 1)).shape == (0, 2)
