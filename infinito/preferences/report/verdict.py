"""Judges whether preference tuning worked, on pairs that it has not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from infinito.preferences.scoring.figures import (
    PreferenceScores,
    correlate_with_length,
    mean_interval,
    measure_displacement,
    score_by_length,
    share_interval,
)

OK, NO_IMPROVEMENT, FAILED = "ok", "no_improvement", "failed"


@dataclass(frozen=True)
class Verdict:
    """A status, its reason, and what else a reader should know."""

    status: str
    reason: str
    notes: tuple[str, ...] = ()


def judge(before: PreferenceScores, after: PreferenceScores, beta: float) -> Verdict:
    """Return a verdict from the change of the held-out margin and its 95 % interval over pairs.

    Args:
        before: Held-out pairs, scored before training.
        after: The same pairs, scored after training.
        beta: Strength of the pull to the reference.
    """
    change = after.margins(beta) - before.margins(beta)
    if not np.isfinite(change).all():
        count = int((~np.isfinite(change)).sum())
        return Verdict(FAILED, f"{count} of {len(change)} held-out margins are not finite")
    if len(change) < 2:
        return Verdict(NO_IMPROVEMENT, "one held-out pair gives no interval: hold out more")
    interval = mean_interval(change)
    found = (
        f"the held-out margin changed by {interval['mean']:+.3g}, "
        f"95 % interval {interval['low']:+.3g} to {interval['high']:+.3g} over {len(change)} pairs"
    )
    notes = (*_note_length(after, beta), *_note_displacement(before, after, interval["mean"]))
    if interval["low"] > 0:
        return Verdict(OK, f"{found}: above 0", notes)
    where = "below 0" if interval["high"] < 0 else "which holds 0"
    return Verdict(NO_IMPROVEMENT, f"{found}: {where}", notes)


def note_empty_answers(answers: Sequence[str]) -> list[str]:
    """Return a note if the policy ends most of its answers before it says anything."""
    empty = sum(not each.strip() for each in answers)
    if 2 * empty <= len(answers):
        return []
    return [
        f"{empty} of {len(answers)} answers after training are empty: margins compare the "
        "probabilities of given answers, and this policy does not write answers of its own yet"
    ]


def _note_length(after: PreferenceScores, beta: float) -> list[str]:
    accuracy = share_interval(after.wins(beta))
    name, best = max(score_by_length(after).items(), key=lambda item: item[1]["share"])
    if accuracy["low"] > best["share"]:
        return []
    r = correlate_with_length(after, beta)
    tied = "" if r is None else f"; margin and length correlate by {r:+.2f}"
    return [
        f"held-out accuracy is {accuracy['share']:.2f} ({accuracy['low']:.2f} to "
        f"{accuracy['high']:.2f}); “{name.replace('_', ' ')}” alone scores {best['share']:.2f}: "
        f"these pairs do not tell the policy from one that judges by length{tied}"
    ]


def _note_displacement(
    before: PreferenceScores, after: PreferenceScores, margin_change: float
) -> list[str]:
    found = measure_displacement(after.chosen - before.chosen, after.rejected - before.rejected)
    if found["chosen_change_nats"] >= 0 or margin_change <= 0:
        return []
    return [
        "the margin rose while chosen answers became less likely: "
        f"{found['chosen_change_nats']:+.3g} nats each, "
        f"{found['share_of_chosen_that_fell']:.0%} of them fell"
    ]
