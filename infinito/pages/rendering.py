"""Makes one HTML file of a page: styles, script, plotting library, data and drawings in it.

The plotting library is Apache ECharts (its "common" build, 0.7 MB): it zooms, says what is under
the pointer, draws SVG, and a page needs half of what plotly's smallest build takes. The page's
security policy lets a browser load nothing, and every text is escaped.
"""

from __future__ import annotations

import base64
import json
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from infinito.pages.document import LONGEST_CELL, LONGEST_TEXT, Page, Plots, Section, shorten
from infinito.pages.plots import Plot, is_drawable
from infinito.storage import written_whole
from infinito.wording import escape_controls

ASSETS = Path(__file__).with_name("assets")


def write_page(path: Path, page: Page, *, drawings: bool = True) -> None:
    """Write a page, whole or not at all.

    Args:
        path: The file.
        page: What it says.
        drawings: Whether to draw each plot outside of folded sections for readers without a script
            as well, which takes about a twentieth of a second a plot.

    Raises:
        SaveError: the file could not be written.
    """
    with written_whole(path) as file:
        file.write(render(page, drawings=drawings).encode())


def render(page: Page, *, drawings: bool = True) -> str:
    """Return the page as HTML; see `write_page`."""
    sections = [(section, list_plots(section)) for section in page.sections]
    plots = [plot for _, own in sections for plot in own]
    drawn: dict[int, Markup] = {}
    if drawings and plots:
        from infinito.pages.drawings import draw_svg  # matplotlib takes its time

        unfolded = [plot for section, own in sections if not section.is_folded for plot in own]
        drawn = {id(plot): draw_svg(plot, f"plot{at}") for at, plot in enumerate(unfolded)}
    html: str = _template().render(
        page=page,
        plots={id(plot): at for at, plot in enumerate(plots)},
        drawn=drawn,
        data=_as_json([plot.to_json() for plot in plots]),
        style=_asset("page.css"),
        script=_asset("page.js"),
        library=_asset("echarts/echarts.common.min.js") if plots else None,
    )
    return html


def list_plots(section: Section) -> list[Plot]:
    """Return the plots of a section that have something to draw."""
    parts = [part for part in section.parts if isinstance(part, Plots)]
    return [plot for part in parts for plot in part.plots if is_drawable(plot)]


def _as_json(values: Any) -> Markup:
    """Return JSON for a script element: no text in it can end the element."""
    text = json.dumps(values, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e"))


@cache
def _asset(name: str) -> Markup:
    return Markup((ASSETS / name).read_text(encoding="utf-8"))


@cache
def _template() -> Any:
    environment = Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=lambda value: escape_controls(value) if type(value) is str else value,
    )
    environment.filters["cell"] = lambda text: shorten(str(text), LONGEST_CELL)
    environment.filters["text"] = lambda text: shorten(str(text), LONGEST_TEXT)
    environment.filters["png"] = lambda png: Markup(base64.b64encode(png).decode())
    environment.globals["id"] = id
    return environment.from_string((ASSETS / "page.html.jinja").read_text(encoding="utf-8"))
