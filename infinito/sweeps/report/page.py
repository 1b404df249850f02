"""The report of a sweep: pictures as PNG and SVG, and one HTML file that needs no other."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment
from matplotlib.figure import Figure

from infinito.search.search import Search
from infinito.sweeps.record.plan import reopen
from infinito.sweeps.record.tables import name_value_columns
from infinito.sweeps.report.figures import plot_all
from infinito.sweeps.report.live_table import format_command, format_result
from infinito.wording import format_value

TEMPLATE = Path(__file__).with_name("page.html.jinja")

HEADINGS = {
    "best_so_far": ("Best so far", "Each trial's score, and the best one until then."),
    "tree": (
        "Tree",
        "Each split separates good from bad trials; the search goes on where scores are good or "
        "uncertain.",
    ),
    "importances": (
        "Importances",
        "What each parameter alone explains, with 90 % intervals from resampled trials. Effects of "
        "several parameters together are missed.",
    ),
    "slices": ("Slices", "Scores over each parameter; late trials are dark."),
    "parallel_coordinates": (
        "Parallel coordinates",
        "One line for each trial; dark lines scored well.",
    ),
    "pareto_front": ("Pareto front", "Trials that no other beats in every objective."),
}


def write_report(folder: Path) -> Path:
    """Write report.html and pictures into a sweep's folder.

    Returns:
        The HTML file.

    Raises:
        ResumeError: The folder holds no sweep, or its journal is damaged.
    """
    search, seconds = reopen(folder)
    drawn = plot_all(search)
    for name, figure in drawn.items():
        for suffix in ("png", "svg"):
            (folder / "pictures").mkdir(exist_ok=True)
            figure.savefig(folder / "pictures" / f"{name}.{suffix}", dpi=130)
    page = folder / "report.html"
    page.write_text(render(folder.name, search, drawn, seconds), encoding="utf-8")
    return page


def render(
    name: str, search: Search, drawn: Mapping[str, Figure], seconds: Mapping[int, float]
) -> str:
    """Return the page as text."""
    template = Environment(autoescape=True, trim_blocks=True).from_string(
        TEMPLATE.read_text(encoding="utf-8")
    )
    best = search.best()
    objectives = len(search.directions)
    return template.render(
        title=f"Search {name}",
        summary=summarise(search),
        command=format_command(best.params) if best is not None and objectives == 1 else None,
        pictures=[(*HEADINGS[key], _inline(figure)) for key, figure in drawn.items()],
        columns=["trial", *name_value_columns(objectives), *search.space.names, "seconds", "error"],
        rows=[
            (
                "best" if trial is best else trial.state,
                [
                    trial.number,
                    *([format_value(value) for value in trial.values or ()] or ["–"] * objectives),
                    *(format_value(trial.params[key]) for key in search.space.names),
                    format_value(seconds.get(trial.number)),
                    trial.error or "",
                ],
            )
            for trial in search.trials
        ],
    )


def summarise(search: Search) -> str:
    """Return counts and the best trial, as a sentence."""
    states = [trial.state for trial in search.trials]
    counts = f"{states.count('finished')} of {len(states)} trials finished"
    failed = states.count("failed")
    text = f"{counts}, {failed} failed" if failed else counts
    best = search.best()
    if len(search.directions) > 1:
        return f"{text}; {len(search.pareto_front())} are on the Pareto front."
    if best is None:
        return f"{text}."
    score = f"{format_result(best)} ({search.directions[0]})"
    return f"{text}; the best is trial {best.number} with {score}."


def _inline(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg")
    return base64.b64encode(buffer.getvalue()).decode()
