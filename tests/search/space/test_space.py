"""Spaces: values and coordinates, conditions, counts, faults."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infinito.errors import ConfigError
from infinito.search.space.space import Categorical, Float, Int, Parameter, Space

MIXED = Space(
    [
        Int("model.dim", 16, 128, step=16),
        Categorical("heads", [1, 2, 4, 8]),
        Float("lr", 1e-4, 1e-1, log=True),
        Categorical("metric", ["l1", "dot", None]),
        Categorical("causal", [True, False]),
        Int("batch", 1, 64, log=True),
    ],
    ["model.dim % heads == 0", "batch * rows <= 512"],
    {"rows": 16},
)


@given(st.lists(st.floats(0, 1), min_size=6, max_size=6))
def test_every_point_decodes_and_encodes_to_itself(units: list[float]) -> None:
    row = MIXED.snap(np.array([units]))[0]
    values = MIXED.decode(row)
    assert np.allclose(MIXED.encode(values), row, atol=1e-12)
    again = MIXED.decode(MIXED.encode(values))
    assert again["lr"] == pytest.approx(values["lr"], rel=1e-12)
    assert {**again, "lr": 0} == {**values, "lr": 0}
    assert json.loads(json.dumps(values)) == values


def test_uniform_coordinates_are_uniform_values() -> None:
    """Int 1…4 in quarters; log-float 1…100: the middle is 10; log-int 1…8: ln 0.5 to ln 8.5."""
    units = np.array([0.0, 0.2, 0.26, 0.74, 0.76, 1.0])
    assert Int("i", 1, 4).decode(units).tolist() == [1, 1, 2, 3, 4, 4]
    assert Float("f", 1, 100, log=True).decode(np.array([0.5]))[0] == pytest.approx(10)
    borders = (np.log([0.5, 1.5, 7.5, 8.5]) - math.log(0.5)) / math.log(17)
    log_int = Int("i", 1, 8, log=True)
    assert log_int.decode(borders[1:3] - 1e-9).tolist() == [1, 7]
    assert log_int.decode(borders[1:3] + 1e-9).tolist() == [2, 8]
    assert Int("i", 3, 10, step=3).decode(units).tolist() == [3, 3, 3, 9, 9, 9]


def test_one_and_true_are_different_choices() -> None:
    parameter = Categorical("c", [True, 1, "1"])
    assert [parameter.encode(value) for value in (True, 1, "1")] == pytest.approx(
        [1 / 6, 0.5, 5 / 6]
    )
    with pytest.raises(ConfigError, match="`c`=False is not in the space"):
        parameter.encode(False)


def test_numbers_in_order_are_ordered() -> None:
    assert Categorical("c", [16, 32, 64]).is_ordered
    assert not Categorical("c", [16, 64, 32]).is_ordered
    assert not Categorical("c", [True, False]).is_ordered
    assert not Categorical("c", [16, 32, 64], ordered=False).is_ordered


def test_counts() -> None:
    """Widths 16…64 by 16 and heads 1…4: heads 3 divides 48 alone."""
    parameters = [Int("dim", 16, 64, step=16), Int("heads", 1, 4)]
    assert Space(parameters).count() == 16
    assert Space(parameters, ["dim % heads == 0"]).count() == 13
    assert MIXED.count() == math.inf
    assert Space([Int("n", 1, 10**9)]).count() == 10**9


def test_contains_asks_ranges_and_conditions() -> None:
    values = {"model.dim": 48, "heads": 4, "lr": 1e-3, "metric": None, "causal": True, "batch": 32}
    assert MIXED.contains(values)
    assert not MIXED.contains({**values, "batch": 33})
    assert not MIXED.contains({**values, "model.dim": 50})
    assert not MIXED.contains({"heads": 4})


def test_plain_form_is_equal_after_a_journey_through_json() -> None:
    plain = json.loads(json.dumps(MIXED.to_dict()))
    assert plain == MIXED.to_dict()
    assert Space.from_dict(plain).to_dict() == plain


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Space([]), "no parameter to search"),
        (lambda: Float("lr", 1, 1), r"`lr`: the range 1…1 is empty"),
        (lambda: Float("lr", 2, 1), r"`lr`: the range 2…1 is reversed"),
        (lambda: Float("lr", 0, 1, log=True), r"`lr`: the logarithm of 0"),
        (lambda: Float("lr", 0, math.nan), r"`lr`: the range 0…nan has an end that is no finite"),
        (lambda: Int("n", 5, 4), r"`n`: the range 5…4 is reversed"),
        (lambda: Int("n", 0, 4, log=True), r"`n`: the logarithm of 0"),
        (lambda: Int("n", 0.5, 4), r"`n`: .* has an end that is no whole number"),  # type: ignore[arg-type]
        (lambda: Int("n", 0, 4, step=0), r"`n`: step=0"),
        (lambda: Categorical("c", []), r"`c`: no choices"),
        (lambda: Categorical("c", ["a", "a"]), r"`c`: the choices .* repeat"),
        (lambda: Categorical("c", [[1]]), r"`c`: the choice \[1\] is a list"),
        (lambda: Space([Int("n", 1, 2), Int("n", 1, 3)]), r"`n` is given twice"),
        (lambda: Space([Int("n", 1, 2)], ["m == 1"]), r"names `m`, which is neither"),
        (lambda: Space([Int("n", 1, 2)], ["n == 3"]), r"of its 2 points none satisfies `n == 3`"),
        (lambda: Space([Float("x", 0, 1)], ["x > 2"]), r"random points none satisfies `x > 2`"),
        (lambda: Space.from_dict({"parameters": [{"kind": "odd"}]}), r"of kind 'odd'"),
    ],
)
def test_faults_name_the_parameter(build: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build()  # type: ignore[operator]


def test_feasible_agrees_with_a_loop() -> None:
    rows = MIXED.snap(np.random.default_rng(0).random((200, 6)))
    expected = [
        p["model.dim"] % p["heads"] == 0 and p["batch"] * 16 <= 512 for p in map(MIXED.decode, rows)
    ]
    assert MIXED.is_feasible(rows).tolist() == expected
    assert any(expected)
    assert not all(expected)


def test_a_single_value_is_a_parameter() -> None:
    one: list[Parameter] = [Int("n", 7, 7), Categorical("c", ["a"])]
    assert Space(one).decode(np.array([0.3, 0.9])) == {"n": 7, "c": "a"}


def test_a_choice_that_no_journal_holds_is_refused() -> None:
    with pytest.raises(ConfigError, match="the choice inf is not a finite number"):
        Categorical("x", [0.5, float("inf")])
