"""The rate over its peak, step by step, and the plateau that lowers it."""

from __future__ import annotations

import pytest

from infinito.training.optimizer.rate_schedule import Plateau, rate_factor


def test_cosine_with_warm_up_by_hand() -> None:
    """4 steps of warm-up rise by fifths; half-way to 24 the cosine is half-way from 1 to 0.1."""
    factor = rate_factor("cosine", 4, 24, 0.1)
    assert [factor(step) for step in range(4)] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert factor(4) == 1.0
    assert factor(14) == pytest.approx(0.55)
    assert factor(24) == factor(99) == pytest.approx(0.1)
    assert rate_factor("constant", 0, 24, 0.1)(20) == 1.0


def test_linear_with_warm_up_by_hand() -> None:
    """From 1 at step 4 down to 0.2 at step 24: 0.04 a step."""
    factor = rate_factor("linear", 4, 24, 0.2)
    assert [factor(step) for step in (3, 4, 5, 14)] == pytest.approx([0.8, 1.0, 0.96, 0.6])
    assert factor(24) == factor(99) == pytest.approx(0.2)


def test_wsd_by_hand() -> None:
    """Of 20 steps, 2 of warm-up; the last 40 %, from step 12, fall to zero by eighths."""
    factor = rate_factor("wsd", 2, 20, 0.0, decay_share=0.4)
    assert [factor(step) for step in (0, 1)] == pytest.approx([1 / 3, 2 / 3])
    assert {factor(step) for step in range(2, 13)} == {1.0}
    assert [factor(step) for step in (13, 16, 20, 99)] == pytest.approx([7 / 8, 0.5, 0.0, 0.0])


def test_a_decay_of_every_step_begins_after_the_warm_up() -> None:
    wsd, linear = (rate_factor(name, 5, 20, 0.0) for name in ("wsd", "linear"))
    assert [wsd(step) for step in range(25)] == [linear(step) for step in range(25)]


def test_the_stable_part_does_not_depend_on_the_length() -> None:
    """What makes a longer training share its beginning with a shorter one."""
    short, long = (rate_factor("wsd", 3, total, 0.0, 0.5) for total in (20, 200))
    assert [short(step) for step in range(11)] == [long(step) for step in range(11)]


def test_plateau_by_hand() -> None:
    plateau = Plateau(factor=0.5, patience=1)
    scales = []
    for loss in (3.0, 2.0, 2.0, 2.5, 1.0, 1.5, 1.5):
        plateau.judge(loss)
        scales.append(plateau.scale)
    assert scales == [1, 1, 1, 0.5, 0.5, 0.5, 0.25]
