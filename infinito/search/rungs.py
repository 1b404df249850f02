"""Rungs: short trainings of many points first, of which the promising ones go on.

A trial pauses at each rung. It goes on once it is among the best of a share of all trials that came
so far, whatever others still run; so no worker waits for a rung to fill.

Source: Li et al., A System for Massively Parallel Hyperparameter Tuning (2020), algorithm 2 (ASHA).
Here the new points are the strategy's, which learns from paused trials as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infinito.search.space.parameters import Array
from infinito.search.trials import Trial


@dataclass(frozen=True)
class Rungs:
    """Where trials pause.

    Attributes:
        shares: Shares of the whole training, rising; the last one is 1.
        reduction: One of so many trials goes on from a rung.
    """

    shares: tuple[float, ...]
    reduction: int = 3


@dataclass(frozen=True)
class Curves:
    """Scores on the way of trainings, one after the other.

    Attributes:
        trials: (scores,): index of the trial.
        rungs: (scores,): where, from 0, the first rung, to 1, the end.
        losses: (scores,): less is better, with the median change from there to the end added.
    """

    trials: NDArray[np.int64]
    rungs: Array
    losses: Array


ONE_RUNG = Rungs((1.0,))
"""Trials train to the end at once."""


def choose_promotion(
    trials: Sequence[Trial],
    sign: float,
    rungs: Rungs,
    closing: bool = False,
) -> Trial | None:
    """Return the best paused trial that may go on, from the highest rung that has one.

    Args:
        trials: Of a search.
        sign: 1 where less is better, −1 where more is.
        rungs: Where they pause.
        closing: At least one trial goes on from each rung, so that one comes to the end.
    """
    for rung in reversed(range(len(rungs.shares) - 1)):
        best = rank_at(trials, sign, rung)
        kept = max(len(best) // rungs.reduction, int(closing))
        for trial in best[:kept]:
            if trial.state == "paused" and len(trial.curve) == rung + 1:
                return trial
    return None


def list_hopeless(trials: Sequence[Trial], sign: float, rungs: Rungs, most: int) -> list[Trial]:
    """Return the paused trials that cannot go on any more in a search of so many trials.

    Args:
        trials: Of a search.
        sign: See `choose_promotion`.
        rungs: Where they pause.
        most: Trials that the search may have.
    """
    found = []
    for rung in range(len(rungs.shares) - 1):
        kept = max(1, most // rungs.reduction ** (rung + 1))
        worse = rank_at(trials, sign, rung)[kept:]
        found += [each for each in worse if each.state == "paused" and len(each.curve) == rung + 1]
    return found


def rank_at(trials: Sequence[Trial], sign: float, rung: int) -> list[Trial]:
    """Return the trials that came to a rung and have not failed since, the best first."""
    there = [trial for trial in trials if len(trial.curve) > rung and trial.state != "failed"]
    return sorted(there, key=lambda trial: (sign * trial.curve[rung], trial.number))


def extrapolate(trials: Sequence[Trial], sign: float) -> Array:
    """(trials,): losses at the end of the training; NaN where a trial has no score.

    To the score of a trial that has paused is added the median change, from each rung to the next,
    of those that went on.

    Args:
        trials: Of a search.
        sign: See `choose_promotion`.
    """
    changes = _find_changes(trials)
    losses = np.full(len(trials), math.nan)
    for at, trial in enumerate(trials):
        if trial.curve and trial.state != "failed":
            losses[at] = sign * (trial.curve[-1] + changes[len(trial.curve) - 1])
    return losses


def collect_curves(trials: Sequence[Trial], sign: float, rungs: Rungs) -> Curves:
    """Return the scores of trials that have not failed.

    Args:
        trials: Of a search and of earlier ones, which have finished without pauses.
        sign: See `choose_promotion`.
        rungs: Where they pause.
    """
    changes, last = _find_changes(trials), len(rungs.shares) - 1
    found = []
    for at, trial in enumerate(trials):
        if trial.state == "failed":
            continue
        if trial.values and not trial.curve:
            found.append((at, 1.0, sign * trial.values[0]))
        for rung, score in enumerate(trial.curve):
            found.append((at, rung / last, sign * (score + changes[rung])))
    table = np.reshape(np.array(found, dtype=float), (len(found), 3))
    return Curves(table[:, 0].astype(int), table[:, 1], table[:, 2])


def _find_changes(trials: Sequence[Trial]) -> Array:
    """(rungs,): the sum of the median changes of the score from a rung to the end."""
    longest = max((len(trial.curve) for trial in trials), default=0)
    changes = np.zeros(longest)
    for rung in reversed(range(longest - 1)):
        changes[rung] = changes[rung + 1] + np.median(
            [
                each.curve[rung + 1] - each.curve[rung]
                for each in trials
                if len(each.curve) > rung + 1
            ]
        )
    return changes
