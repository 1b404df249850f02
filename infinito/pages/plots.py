"""Plots as plain values: a script draws them to be explored, matplotlib to be read without one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from infinito.wording import escape_controls

LONGEST_NAME = 160
"""Characters of a name in a plot."""
MOST_POINTS = 600
"""Points of a curve that a page holds, about."""

Values = Sequence[float | None]


@dataclass(frozen=True)
class Curve:
    """Points with a name.

    Attributes:
        name: In the legend.
        x: Coordinates by the name of their axis: a plot may be seen over several.
        y: Values; a gap is None.
        style: "line", "thick" (with points), "step", or "dots" (no line).
        low: Lower ends of intervals, where there are any.
        high: Their upper ends.
        labels: What to say of each point.
        colour: Number in the palette; by default the curve's place in the plot.
    """

    name: str
    x: Mapping[str, Values]
    y: Values
    style: str = "line"
    low: Values | None = None
    high: Values | None = None
    labels: Sequence[str] | None = None
    colour: int | None = None


@dataclass(frozen=True)
class Plot:
    """Curves over one axis.

    Attributes:
        title: Above the plot.
        unit: Of the vertical axis.
        curves: What is drawn.
        note: What a reader must know to read it.
        log_y: Whether the vertical axis is logarithmic at first.
        log_x: Whether the horizontal axis is logarithmic.
        x_ticks: Places and names on the horizontal axis; none for numbers.
        y_ticks: The same on the vertical axis.
        levels: Names and heights of horizontal lines to compare with.
        is_wide: Whether it takes the whole width.
    """

    title: str
    unit: str
    curves: Sequence[Curve]
    note: str = ""
    log_y: bool = False
    log_x: bool = False
    x_ticks: Sequence[tuple[float, str]] = ()
    y_ticks: Sequence[tuple[float, str]] = ()
    levels: Mapping[str, float] = field(default_factory=dict)
    is_wide: bool = False

    @property
    def axes(self) -> list[str]:
        """Names of the horizontal axes that every curve has."""
        first, *others = (list(curve.x) for curve in self.curves)
        return [name for name in first if all(name in each for each in others)]

    def to_json(self) -> dict[str, Any]:
        """Return the plot for the script: numbers of six digits, no NaN, names of bounded length.

        A number that is not finite becomes None, a gap.
        """
        values = asdict(self)
        values["axes"] = self.axes
        for place, curve in enumerate(values["curves"]):
            curve["x"] = {name: list(map(_rounded, curve["x"][name])) for name in self.axes}
            for key in ("y", "low", "high"):
                curve[key] = None if curve[key] is None else list(map(_rounded, curve[key]))
            curve["colour"] = place if curve["colour"] is None else curve["colour"]
        values["levels"] = [[name, _rounded(height)] for name, height in self.levels.items()]
        return dict(_shortened(values))


def is_drawable(plot: Plot) -> bool:
    """Return whether a plot has a number to draw."""
    values = (value for curve in plot.curves for value in curve.y)
    return any(value is not None and math.isfinite(value) for value in values)


def thin_out(y: Values, most: int = MOST_POINTS) -> list[int]:
    """Return the places of about `most` points that show a curve as all of them would.

    Of each stretch of equal length the least and the greatest value stay, so no peak is lost, and
    the first and the last point of the curve. Gaps are left out.
    """
    places = np.array([place for place, value in enumerate(y) if value is not None], int)
    if len(places) <= most:
        return [int(place) for place in places]
    values = np.array([y[place] for place in places], float)
    kept = {0, len(places) - 1}
    for stretch in np.array_split(np.arange(len(places)), most // 2):
        finite = stretch[np.isfinite(values[stretch])]
        chosen = finite if len(finite) else stretch
        kept |= {int(chosen[values[chosen].argmin()]), int(chosen[values[chosen].argmax()])}
    return [int(places[place]) for place in sorted(kept)]


def make_curve(name: str, x: Mapping[str, Values], y: Values, **options: Any) -> Curve:
    """Return a curve of the points that have a value, thinned out where they are many."""
    places = thin_out(y)
    axes = {axis: [values[place] for place in places] for axis, values in x.items()}
    return Curve(name, axes, [y[place] for place in places], **options)


def _rounded(value: float | None) -> float | int | None:
    if value is None or not math.isfinite(value):
        return None
    short = float(f"{value:.6g}") if abs(value) < 1e6 else value
    return int(short) if short == int(short) and abs(short) < 2**53 else short


def _shortened(value: Any) -> Any:
    """Return plain values with every text cut to a length that a plot can show."""
    if isinstance(value, Mapping):
        return {_shortened(key): _shortened(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_shortened(each) for each in value]
    if isinstance(value, str):
        text = escape_controls(value)
        return text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}…"
    return value
