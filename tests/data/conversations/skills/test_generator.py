"""Items follow from their seed, and no held-out question is a training one."""

from __future__ import annotations

import pytest

from infinito.data.conversations.skills.generator import draw_items, write_conversations
from infinito.data.conversations.skills.items import SKILLS
from infinito.errors import DataError


def test_the_same_seed_draws_the_same_items_and_another_does_not() -> None:
    first, second = (draw_items(list(SKILLS), 20, 0, held_out=False) for _ in range(2))
    assert first == second
    assert first != draw_items(list(SKILLS), 20, 1, held_out=False)


def test_more_items_begin_with_the_fewer_ones() -> None:
    few = draw_items(["copy", "add"], 10, 0, held_out=False)
    assert draw_items(["copy", "add"], 30, 0, held_out=False)[:20] == few


@pytest.mark.parametrize("seed", [0, 1])
def test_sides_are_disjoint_whatever_the_seed(seed: int) -> None:
    training = {each.question for each in draw_items(list(SKILLS), 300, 0, held_out=False)}
    held_out = {each.question for each in draw_items(list(SKILLS), 100, seed, held_out=True)}
    assert not training & held_out
    assert len(training) > 2900  # two skills share some questions
    assert len(held_out) > 950


def test_items_are_mixed_and_become_conversations() -> None:
    items = draw_items(["copy", "add"], 2, 0, held_out=False)
    assert [each.skill for each in items] == ["copy", "add", "copy", "add"]
    rows = write_conversations(items, "x").rows
    assert [each.row for each in rows] == [0, 1, 2, 3]
    assert rows[1].messages[1] == {"role": "assistant", "content": items[1].answer}


def test_a_skill_that_runs_out_is_refused() -> None:
    with pytest.raises(DataError, match=r"`data.held_out_items`=1000: the skill add has about"):
        draw_items(["add"], 1000, 0, held_out=True)
