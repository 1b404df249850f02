"""Draws a plot as SVG that takes the colours of the page: what is read without a script."""

from __future__ import annotations

import io
import re
from typing import Any

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from infinito.pages.plots import Curve, Plot, Values
from infinito.wording import escape_controls

PALETTE = tuple(f"#0a0b0{number}" for number in range(8))
"""Stand-ins, which become the colours `--c0` to `--c7` of the page."""
INK, GRID = "#010101", "#020202"
"""Stand-ins for the colours of text and of the grid."""
LONGEST_LABEL = 28
"""Characters of a name in a legend or at a tick."""
CROWD = 8
"""Curves above which a legend names the thick ones alone, where there are any."""

INTERVALS = 5
"""Between ticks of an axis at most; ticks are most of what a drawing costs."""

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GRID,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": GRID,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.parse_math": False,
}


def draw_svg(plot: Plot, key: str) -> Markup:
    """Return the plot as an SVG element.

    Args:
        plot: What to draw, over its first axis.
        key: Tells the ids of this drawing from those of others on the page.
    """
    with rc_context({**STYLE, "svg.hashsalt": key}):
        figure = Figure(figsize=(9.6 if plot.is_wide else 4.8, 2.9))
        axis = figure.subplots()
        shown = list(enumerate(plot.curves))
        named: set[str] = set()
        is_crowd = len(shown) > CROWD and any(curve.style == "thick" for curve in plot.curves)
        for place, curve in shown:
            is_named = curve.name not in named and (not is_crowd or curve.style == "thick")
            label = _label(curve.name) if is_named else ""
            named.add(curve.name)
            _draw_curve(axis, curve, plot.axes[0], place, label)
        for name, height in plot.levels.items():
            axis.axhline(height, color=INK, linewidth=0.9, linestyle=":")
            label = _label(name)
            axis.annotate(label, (1, height), xycoords=("axes fraction", "data"), ha="right",
                          va="bottom", fontsize=8)  # fmt: skip
        _set_axes(axis, plot)
        if len({curve.name for curve in plot.curves}) > 1 and len(shown) <= 20:
            above: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1, 1), "ncols": 4}
            where = above if plot.y_ticks else {"loc": "best" if len(shown) < 6 else "upper right"}
            axis.legend(fontsize=8, **where)
        left = 0.32 if plot.y_ticks else 0.1 if plot.is_wide else 0.17
        top = 0.88 if plot.y_ticks else 0.96
        figure.subplots_adjust(left=left, right=0.97, top=top, bottom=0.17)
        return _as_markup(figure)


def _draw_curve(axis: Axes, curve: Curve, over: str, place: int, label: str) -> None:
    x, y = curve.x[over], curve.y
    colour = PALETTE[(place if curve.colour is None else curve.colour) % len(PALETTE)]
    numbers = _floats(y)
    if curve.low is not None and curve.high is not None:
        low, high = _floats(curve.low), _floats(curve.high)
        if curve.style == "dots":
            axis.vlines(_floats(x), low, high, color=colour, linewidth=1.4)
        else:
            axis.fill_between(_floats(x), low, high, color=colour, alpha=0.18, linewidth=0)
    if curve.style == "dots":
        axis.plot(_floats(x), numbers, "o", color=colour, markersize=4, alpha=0.8, label=label)
    elif curve.style == "step":
        axis.step(_floats(x), numbers, where="post", color=colour, linewidth=1.6, label=label)
    else:
        thick = curve.style == "thick"
        marker: dict[str, Any] = {"marker": "o", "markersize": 3} if thick and len(y) <= 60 else {}
        width = 1.8 if thick else 1.0
        axis.plot(_floats(x), numbers, color=colour, linewidth=width, label=label, **marker)


def _set_axes(axis: Axes, plot: Plot) -> None:
    axis.grid(linewidth=0.5)
    axis.set_axisbelow(True)
    for each in (axis.xaxis, axis.yaxis):
        each.set_major_locator(MaxNLocator(INTERVALS, steps=(1, 2, 5, 10)))
    axis.set_xlabel(_label(plot.axes[0]))
    axis.set_ylabel(_label(plot.unit))
    if plot.log_y:
        axis.set_yscale("log")
    if plot.log_x:
        axis.set_xscale("log")
    if plot.x_ticks:
        axis.xaxis.set_minor_locator(NullLocator())
        axis.set_xticks([at for at, _ in plot.x_ticks], [_label(name) for _, name in plot.x_ticks])
    if plot.y_ticks:
        axis.yaxis.set_minor_locator(NullLocator())
        axis.set_yticks([at for at, _ in plot.y_ticks], [_label(name) for _, name in plot.y_ticks])


def _as_markup(figure: Figure) -> Markup:
    buffer = io.StringIO()
    FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # not unique in the page, and nothing leads to them
    svg = re.sub(r"<style[^>]*>.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r'\1 aria-hidden="true"', svg, count=1)
    for number, stand_in in enumerate(PALETTE):
        svg = svg.replace(stand_in, f"var(--c{number})")
    return Markup(svg.replace(INK, "var(--ink)").replace(GRID, "var(--line)"))  # matplotlib escapes


def _label(text: str) -> str:
    shown = escape_controls(text).replace("\n", " ")
    return shown if len(shown) <= LONGEST_LABEL else f"{shown[: LONGEST_LABEL - 1]}…"


def _floats(values: Values) -> list[float]:
    return [float("nan") if value is None else float(value) for value in values]
