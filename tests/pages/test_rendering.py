"""A page is one file that loads nothing, and shows what a run is called as text, whatever it is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from infinito.pages.document import Commands, Figure, Page, Picture, Plots, Section, Table, Text
from infinito.pages.plots import Curve, Plot
from infinito.pages.rendering import render, write_page

HOSTILE = (
    "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'>&amp;{{7*7}}"
    "<!--\x00\x1b\ud83d\u2028]]>"
)
LIMIT_BYTES = 3 * 2**20


def page_of(text: str) -> Page:
    """Every place of a page that holds text, with this text in it."""
    plot, folded = (
        Plot(
            text,
            text,
            [Curve(text, {text: [1, 2]}, [1.0, 2.0], labels=[text, text])],
            text,
            x_ticks=[(1, text)],
            levels={text: 1.0},
        )
        for _ in range(2)
    )
    parts: list[Any] = [
        Plots([plot]),
        Table([text, text], [(text, text)], text, links={0: "a.html"}),
        Text(text, text, text),
        Picture(b"png", text),
        Commands([(text, text)]),
    ]
    sections = [Section(text, parts, text), Section(text, [Plots([folded])], is_folded=True)]
    return Page(text, text, text, [Figure(text, text, text)], sections, notes=[text], status=text)


def without_library(html: str) -> str:
    """The page without the plotting library and the style."""
    scripts = re.findall(r"<script>.*?</script>", html, re.DOTALL)
    return html.replace(max(scripts, key=len), "")


def test_hostile_text_is_text_everywhere() -> None:
    html = render(page_of(HOSTILE))
    own = without_library(html)
    assert own.count("<script") == own.count("</script>") == 2
    assert "<img src=x" not in html
    assert "alert(1)" in own
    assert "{{7*7}}" in own
    assert "49" not in re.findall(r"<h1>(.*?)</h1>", html)[0]
    html.encode()  # no half of a character is left
    assert "\x00" not in own
    assert "\x1b" not in own


def test_data_comes_back_from_the_script_element() -> None:
    html = render(page_of(HOSTILE))
    (data,) = re.findall(r'<script type="application/json" id="plots">(.*?)</script>', html)
    (first, _) = json.loads(data)
    assert first["title"].startswith("</script><script>alert(1)</script>")
    assert r"\x1b\ud83d" in first["title"]


def test_a_million_characters_are_shortened() -> None:
    html = render(page_of("<" * 10**6))
    assert len(html.encode()) < LIMIT_BYTES
    assert "980,000 more characters" in html


def test_nothing_is_loaded() -> None:
    own = without_library(render(page_of("a")))
    assert "default-src 'none'" in own
    addresses = re.findall(r'(?:src|href)="([^"#][^"]*)"', own)
    assert {each.partition(",")[0] for each in addresses} == {
        "data:",
        "data:image/png;base64",
        "a.html",
    }


def test_drawings_take_the_colours_of_the_page_and_ids_are_unique() -> None:
    html = without_library(render(page_of("a")))
    (drawing,) = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert "var(--c0)" in drawing
    assert "var(--ink)" in drawing
    assert "#000000" not in drawing
    ids = re.findall(r'\bid="([^"]*)"', html)
    assert len(ids) == len(set(ids))


def test_a_page_without_drawings_says_so() -> None:
    html = render(page_of("a"), drawings=False)
    assert "<svg" not in without_library(html)
    assert (
        html.count("This plot is drawn by the page&#39;s script.")
        + html.count("This plot is drawn by the page's script.")
        == 2
    )


def test_a_page_without_plots_needs_no_script() -> None:
    html = render(Page("a", "b", "c", [], [Section("d", [Text("e", "f")])]))
    assert "<script" not in html
    assert len(html) < 20_000


def test_a_page_is_written_whole(tmp_path: Path) -> None:
    write_page(tmp_path / "report.html", page_of("a"))
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_text(encoding="utf-8").endswith("</html>")


def test_the_licence_of_the_plotting_library_is_kept() -> None:
    html = render(page_of("a"))
    assert "Licensed to the Apache Software Foundation (ASF)" in html
