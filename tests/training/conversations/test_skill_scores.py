"""Accuracies count exact answers, next to the most frequent one."""

from __future__ import annotations

import pytest

from infinito.data.conversations.skills.items import Item
from infinito.training.conversations.skill_scores import list_scores, score_answers


def items(skill: str, *answers: str) -> list[Item]:
    return [Item(skill, f"{skill} {number}", each) for number, each in enumerate(answers)]


def test_scores_are_shares_with_wilson_intervals_and_a_control() -> None:
    """3 of 4 exact: Wilson's interval is 0.301 to 0.954; "1" is the usual answer, right in two."""
    asked = items("add", "1", "2", "1", "3")
    found = score_answers(asked, ["1", "2", "1", "4"], items("add", "1", "1", "2"))
    score = found.scores["add"]
    assert score.accuracy.mean == 0.75
    assert (score.accuracy.low, score.accuracy.high) == pytest.approx((0.301, 0.954), abs=1e-3)
    assert score.control == 0.5
    assert not score.is_learnt
    assert list_scores(found) == {"add": "0.75 [0.30, 0.95], control 0.50"}


def test_a_report_has_a_figure_for_each_skill_and_their_mean() -> None:
    asked = items("add", "1") + items("copy", "a")
    report = score_answers(asked, ["1", "b"], asked).report()
    assert report["skills/add"] == 1
    assert report["skills/copy"] == 0
    assert report["skills/mean"] == 0.5
    assert report["skills"]["copy"]["items"] == 1


def test_nearly_right_is_wrong() -> None:
    asked = items("copy", "sand tent")
    assert score_answers(asked, ["sand tent."], asked).scores["copy"].accuracy.mean == 0
