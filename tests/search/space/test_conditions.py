"""Conditions are read, never run."""

from __future__ import annotations

import numpy as np
import pytest

from infinito.errors import ConfigError
from infinito.search.space.conditions import Condition


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b % c == 0", [True, False]),
        ("1 <= c < 4", [True, True]),
        ("c in (2, 7) and not a.b > 6", [True, False]),
        ("m != 'x' or c == 2", [True, True]),
        ("m not in ['x']", [False, True]),
        ("-a.b + 2 * c ** 2 >= a.b / 3", [True, True]),
    ],
)
def test_truth_by_hand(text: str, expected: list[bool]) -> None:
    """Points (a.b, c, m) = (6, 2, x) and (8, 3, y)."""
    columns = {"a.b": np.array([6, 8]), "c": np.array([2, 3]), "m": np.array(["x", "y"])}
    assert Condition(text).holds(columns).tolist() == expected
    for i, truth in enumerate(expected):
        one = {name: column[i] for name, column in columns.items()}
        assert bool(Condition(text).holds(one)) is truth


def test_names_are_dotted() -> None:
    assert Condition("model.dim % attention.heads == 0").names == {"model.dim", "attention.heads"}


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "open('x')",
        "a[0] == 1",
        "(lambda: 1)() == 1",
        "[x for x in (1,)]",
        "a if b else c",
        "f'{a}'",
        "a.b().c == 1",
        "(1).real == 1",
        "a @ b",
        "a is b",
        "a := 3",
        "",
        "a ==",
    ],
)
def test_everything_else_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="condition `"):
        Condition(text)


def test_what_cannot_be_computed_names_the_condition() -> None:
    with pytest.raises(ConfigError, match="`a < 'x'` cannot be computed"):
        Condition("a < 'x'").holds({"a": np.array([1, 2])})
