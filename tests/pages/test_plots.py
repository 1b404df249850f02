"""Plots as values: nothing that matters is thinned away, nothing that JSON lacks is left."""

from __future__ import annotations

import json
import math

from infinito.pages.plots import Curve, Plot, is_drawable, make_curve, thin_out


def test_a_peak_and_a_gap_survive_the_thinning() -> None:
    values: list[float | None] = [math.sin(at / 50) for at in range(10_000)]
    values[1234], values[7000], values[5000] = 99.0, -99.0, None
    kept = thin_out(values, 100)
    assert len(kept) <= 102
    assert {0, 1234, 7000, 9999} <= set(kept)
    assert 5000 not in kept
    assert kept == sorted(kept)


def test_short_curves_stay_whole() -> None:
    assert thin_out([1.0, None, 3.0], 100) == [0, 2]
    assert thin_out([], 100) == []


def test_curves_of_nan_alone_are_thinned_too() -> None:
    assert len(thin_out([math.nan] * 5000, 100)) <= 102


def test_numbers_for_the_script_are_short_and_finite() -> None:
    curve = make_curve("a", {"step": [1, 2, 3]}, [0.123456789, math.nan, math.inf])
    plot = Plot("t", "u", [curve], levels={"floor": -math.inf})
    values = plot.to_json()
    assert json.loads(json.dumps(values, allow_nan=False))["curves"][0]["y"] == [
        0.123457,
        None,
        None,
    ]
    assert values["levels"] == [["floor", None]]


def test_names_of_any_length_are_cut() -> None:
    plot = Plot("x" * 10**6, "\x1b", [Curve("y" * 10**6, {"step": [1]}, [2.0])])
    assert len(json.dumps(plot.to_json())) < 2000
    assert plot.to_json()["unit"] == r"\x1b"


def test_only_axes_of_all_curves_are_offered() -> None:
    one = Curve("a", {"step": [1], "tokens": [8]}, [1.0])
    other = Curve("b", {"step": [1], "seconds": [2.0]}, [1.0])
    assert Plot("t", "", [one, other]).axes == ["step"]
    assert not is_drawable(Plot("t", "", [Curve("a", {"step": [1]}, [None])]))
