"""The verdict says yes, no and failed, each for its reason; on noise it says no."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from infinito.preferences.report.verdict import (
    FAILED,
    NO_IMPROVEMENT,
    OK,
    judge,
    note_empty_answers,
)
from tests.preferences.scoring.test_figures import scores

BEFORE = scores([0.0] * 8)


def test_ok_where_the_interval_is_above_0() -> None:
    found = judge(BEFORE, scores([1, 2, 1, 2, 1, 2, 1, 2.0]), beta=1.0)
    assert found.status == OK
    assert "changed by +1.5" in found.reason
    assert found.notes == ()


def test_no_where_it_holds_0_or_lies_below() -> None:
    found = judge(BEFORE, scores([9, -8, 9, -8, 9, -8, 9, -8.0]), beta=1.0)
    assert found.status == NO_IMPROVEMENT
    assert found.reason.endswith("which holds 0")
    worse = judge(BEFORE, scores([-1, -2, -1, -2, -1, -2, -1, -2.0]), beta=1.0)
    assert worse.status == NO_IMPROVEMENT
    assert worse.reason.endswith("below 0")


def test_it_is_the_change_that_counts() -> None:
    same = scores([5.0, 6, 7, 8])
    assert judge(same, same, beta=1.0).status == NO_IMPROVEMENT


def test_failed_where_margins_are_not_finite() -> None:
    found = judge(BEFORE, scores([1.0] * 7 + [np.nan]), beta=1.0)
    assert found.status == FAILED
    assert "1 of 8" in found.reason


def test_one_pair_proves_nothing() -> None:
    assert "one held-out pair" in judge(scores([0.0]), scores([9.0]), beta=1.0).reason


def test_a_policy_that_follows_length_is_noted() -> None:
    """It prefers the longer answers, 6 of 8, and those are the chosen ones: so does length."""
    longer = [3, 3, 3, 3, 3, 3, -3, -3]
    found = judge(BEFORE, scores([float(each) for each in longer], longer), beta=1.0)
    (note,) = found.notes
    assert "“longer wins” alone scores 0.75" in note
    assert "margin and length correlate by +1.00" in note


def test_displacement_is_noted() -> None:
    """The chosen answers fell by a nat, the rejected ones by three: margins rose by two."""
    after = scores([-1.0] * 8)
    after.rejected[:] -= 3 + np.arange(8) / 100
    found = judge(BEFORE, after, beta=1.0)
    assert found.status == OK
    assert "became less likely: -1 nats each, 100% of them fell" in found.notes[-1]


def test_nothing_is_displaced_that_has_risen() -> None:
    """Without a reference rewards are β log π, far below 0, whatever training did."""
    before = replace(BEFORE, reference_chosen=np.zeros(8), reference_rejected=np.zeros(8))
    after = replace(before, chosen=before.chosen + 7 + np.arange(8) / 100)
    found = judge(before, after, beta=1.0)
    assert (found.status, found.notes) == (OK, ())


@pytest.mark.parametrize("spread", [0.1, 10.0])
def test_noise_is_called_an_improvement_as_often_as_chance_allows(spread: float) -> None:
    """A 95 % interval lies above 0 by chance in 2.5 % of cases: 400 draws, 10 ± 3.1 expected."""
    random = np.random.default_rng(0)
    draws = (judge(BEFORE, scores(list(random.normal(0, spread, 8))), 1.0) for _ in range(400))
    assert sum(each.status == OK for each in draws) <= 20


def test_empty_answers_are_noted_where_most_are() -> None:
    (note,) = note_empty_answers(["", " \n", "yes"])
    assert note.startswith("2 of 3 answers after training are empty")
    assert note_empty_answers(["", "yes"]) == note_empty_answers([]) == []
