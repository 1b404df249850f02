"""The page of a sweep, report.html, and its pictures as PNG and SVG."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from infinito.pages.document import Commands, Figure, Page, Part, Plots, Section, Table
from infinito.pages.rendering import write_page
from infinito.run_folder.commands import PROGRAM, build_command, format_text, quote_word
from infinito.search.search import Search
from infinito.search.trials import Trial
from infinito.sweeps.record.confirmation import format_interval, summarise_confirmation
from infinito.sweeps.record.plan import reopen
from infinito.sweeps.record.run_folders import list_run_folders
from infinito.sweeps.report.figures import plot_all
from infinito.sweeps.report.live_table import format_result
from infinito.sweeps.report.plots import (
    list_finished,
    plot_cost,
    plot_front,
    plot_importances,
    plot_learning,
    plot_progress,
    plot_rungs,
    plot_slices,
)
from infinito.wording import format_override_value, format_value
from infinito.yaml_limits import load_yaml

DIGITS = 4
"""Digits of a number in the best trial's command: a search knows no more of it."""


def write_report(folder: Path) -> Path:
    """Write report.html and pictures into a sweep's folder.

    Returns:
        The HTML file.

    Raises:
        ResumeError: The folder holds no sweep, or its journal is damaged.
    """
    search, seconds = reopen(folder)
    for name, figure in plot_all(search).items():
        for suffix in ("png", "svg"):
            (folder / "pictures").mkdir(exist_ok=True)
            figure.savefig(folder / "pictures" / f"{name}.{suffix}", dpi=130)
    page = folder / "report.html"
    write_page(page, build_page(folder, search, seconds))
    return page


def build_page(folder: Path, search: Search, seconds: Mapping[int, float]) -> Page:
    """Return the page of a sweep, finished or not."""
    runs = find_runs(folder)
    scores = name_scores(runs, len(search.directions))
    best = search.best() if len(search.directions) == 1 else None
    return Page(
        title=f"Search {folder.name}",
        subtitle=f"Sweep over {', '.join(search.space.names)}",
        verdict=summarise(search, scores),
        mood="good" if best is not None else "open",
        figures=list_figures(search, scores, seconds),
        sections=[
            *([build_best(best, runs)] if best is not None else []),
            *build_confirmation(search),
            *build_progress(search, scores, runs, seconds),
            *build_slices(search, scores),
            build_tree(search, scores[0]),
            *build_compute(search, seconds),
            build_trials(search, scores, seconds, runs),
            build_next(folder),
        ],
        status=f"Written {datetime.now().astimezone():%Y-%m-%d %H:%M:%S %Z} from {folder}.",
    )


def summarise(search: Search, scores: Sequence[str] = ("score",)) -> str:
    """Return counts and the best trial, as a sentence."""
    states = [trial.state for trial in search.trials]
    counts = f"{states.count('finished')} of {len(states)} trials finished"
    failed = states.count("failed")
    text = f"{counts}, {failed} failed" if failed else counts
    if paused := states.count("paused"):
        text += f", {paused} paused on their way"
    best = search.best()
    if len(search.directions) > 1:
        return f"{text}; {len(search.pareto_front())} are on the Pareto front."
    if best is None:
        return f"{text}."
    way = "less" if search.directions[0] == "minimize" else "more"
    score = f"{scores[0]} {format_result(best)} ({way} is better)"
    return f"{text}; the best is trial {best.number} with {score}."


def find_runs(folder: Path) -> dict[int, Path]:
    """Return the folders of trials by their number; of several attempts the last."""
    return {int(run.name.partition(".")[0]): run for run in list_run_folders(folder)}


def name_scores(runs: Mapping[int, Path], count: int) -> list[str]:
    """Return the names of the scores, as a trial's configuration has them."""
    for run in runs.values():
        named: Any = load_yaml(run / "config.yaml").get("score")
        names = [part.strip() for part in str(named).split(",")]
        if named is not None and len(names) == count:
            return names
    return ["score"] if count == 1 else [f"score {number}" for number in range(count)]


def list_figures(
    search: Search, scores: Sequence[str], seconds: Mapping[int, float]
) -> list[Figure]:
    """Return the figures that stand at the top."""
    best = search.best() if len(scores) == 1 else None
    states = [trial.state for trial in search.trials]
    found = [] if best is None else [Figure(scores[0], format_result(best), f"trial {best.number}")]
    return [
        *found,
        Figure("trials", str(len(states)), f"{states.count('failed')} failed"),
        Figure("parameters", str(len(search.space.names))),
        Figure("seconds of trials", format_value(float(sum(seconds.values())))),
    ]


def build_best(best: Trial, runs: Mapping[int, Path]) -> Section:
    """Return the best trial as a whole command, with numbers to the digits that matter."""
    rows = [(name, format_value(value)) for name, value in best.params.items()]
    parts: list[Part] = []
    if best.number in runs:
        what = "train it in earnest, to a model, curves and a page"
        parts.append(Commands([(format_best(best, runs[best.number]), what)]))
    parts.append(Table(["setting", f"trial {best.number}"], rows))
    note = f"Numbers to {DIGITS} digits; optimization_results.yaml has them all."
    return Section("The best", parts, note)


def build_confirmation(search: Search) -> list[Section]:
    """Return what fresh seeds say of the recommended setting, where it was trained with some."""
    found = summarise_confirmation(search)
    if found is None:
        return []
    rows = [("recommended", format_interval(found.score))]
    if found.defaults is not None and found.difference is not None:
        rows.append(("defaults, same seeds", format_interval(found.defaults)))
        rows.append(("difference, paired", format_interval(found.difference, sign="+")))
    rows.append(("the best score that was seen flatters by", f"{found.optimism:.3g}"))
    settings = [(name, format_value(value)) for name, value in found.trial.params.items()]
    note = (
        f"Means of {found.seeds} trainings with seeds that the search did not choose by, with 95 % "
        "intervals of Student's t."
    )
    head = ["setting", f"trial {found.trial.number}"]
    return [Section("Recommended", [Table(["", "score"], rows), Table(head, settings)], note)]


def build_compute(search: Search, seconds: Mapping[int, float]) -> list[Section]:
    """Return where the trials' seconds went, by how the trials stand."""
    spent: dict[str, list[float]] = {}
    for trial in search.trials:
        kind = f"confirming ({trial.confirms})" if trial.confirms else trial.state
        if trial.number in seconds:
            spent.setdefault(kind, []).append(seconds[trial.number])
    total = sum(map(sum, spent.values()))
    if not total:
        return []
    rows = [
        (kind, str(len(each)), format_value(sum(each)), f"{sum(each) / total:.0%}")
        for kind, each in spent.items()
    ]
    head = ["trials", "count", "seconds", "share"]
    return [Section("Where the compute went", [Table(head, rows)])]


def format_best(best: Trial, run: Path) -> str:
    """Return the command of a trial as a training of its own."""
    typed = [str(each) for each in load_yaml(run / "overrides.yaml")]
    words = []
    for word in typed:
        key, _, _ = word.partition("=")
        name = key.lstrip("+")
        if name in {"task", "runs_dir"}:
            continue
        if isinstance(value := best.params.get(name), float):
            word = f"{key}={format_override_value(float(f'{value:.{DIGITS}g}'))}"
        words.append(quote_word(word))
    task = str(load_yaml(run / "config.yaml").get("task"))
    return " ".join([PROGRAM, *words, f"task={'train' if task == 'trial' else task}"])


def build_progress(
    search: Search,
    scores: Sequence[str],
    runs: Mapping[int, Path],
    seconds: Mapping[int, float],
) -> list[Section]:
    """Return how the search went: scores over trials and compute, learning curves."""
    if not list_finished(search):
        return []
    more = (plot_cost(search, seconds, scores[0]), plot_rungs(search, scores[0]))
    plots = [plot_progress(search, scores[0]), *(plot for plot in more if plot is not None)]
    if len(scores) > 1:
        plots.append(plot_front(search, scores))
    learning = plot_learning(search, runs)
    note = "Each trial's score, and the best one until then; point at a trial for its settings."
    sections = [Section("How it went", [Plots(plots)], note)]
    if learning is not None:
        sections.append(Section("What trials learned", [Plots([learning])]))
    return sections


def build_slices(search: Search, scores: Sequence[str]) -> list[Section]:
    """Return where the search looked, and what mattered."""
    if not list_finished(search):
        return []
    note = (
        "What each parameter alone explains, with 90 % intervals from resampled trials. Effects of "
        "several parameters together are missed."
    )
    return [
        Section("Scores over each parameter", [Plots(plot_slices(search, scores[0]))]),
        Section("What mattered", [Plots([plot_importances(search)])], note),
    ]


def build_tree(search: Search, score: str) -> Section:
    """Return the regions that the trials tell apart, from the first split on."""
    root = search.tree()
    by_number = {trial.number: trial for trial in search.trials}
    rows = []
    for depth, node in walk(root):
        best = by_number.get(node["best"])
        rows.append(
            (
                f"{'   ' * depth}{'└ ' if depth else ''}{node['lies_in'] or 'the whole space'}",
                str(node["visits"]),
                f"{node['value']:.2f}",
                "–" if best is None else str(best.number),
                "–" if best is None else format_result(best),
            )
        )
    note = "A split separates good from bad trials; the search goes on where trials rank well."
    if not root["children"]:
        note = (
            f"The {root['visits']} trials do not tell regions apart yet: there is no split. "
            "The plots above show all there is to see."
        )
    head = ["region", "trials", "mean rank, 1 best", "best trial", score]
    return Section("Tree", [Table(head, rows)], note)


def walk(node: Mapping[str, Any], depth: int = 0) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield a node of the tree and those below it, each with its depth."""
    yield depth, node
    for child in node["children"]:
        yield from walk(child, depth + 1)


def build_trials(
    search: Search,
    scores: Sequence[str],
    seconds: Mapping[int, float],
    runs: Mapping[int, Path],
) -> Section:
    """Return every trial, with links to those that have a page."""
    best = search.best() if len(scores) == 1 else None
    rows, links, marked = [], {}, None
    for at, trial in enumerate(search.trials):
        marked = at if trial is best else marked
        run = runs.get(trial.number)
        if run is not None and (run / "report.html").is_file():
            links[at] = f"{run.name}/report.html"
        values = [format_value(value) for value in trial.values or ()] or ["–"] * len(scores)
        rows.append(
            (
                f"{trial.number}{' best' * (trial is best)}",
                trial.state,
                *values,
                *(format_value(trial.params[key]) for key in search.space.names),
                format_value(seconds.get(trial.number)),
                trial.error or "",
            )
        )
    head = ["trial", "state", *scores, *search.space.names, "seconds", "error"]
    note = "`task=report checkpoint=<folder of a trial>` makes a trial's own page."
    return Section("All trials", [Table(head, rows, marked=marked, links=links)], note)


def build_next(folder: Path) -> Section:
    """Return the commands that are useful after a sweep, each with what it does."""
    goes_on = quote_word(f"hydra.sweeper.resume={format_text(folder)}")
    commands = [
        (f"<the same command> {goes_on} hydra.sweeper.n_trials=<more>", "more trials"),
        (build_command({"task": "export_sweep", "runs": [folder]}), "for Optuna's dashboard"),
        (f"tensorboard --logdir {quote_word(str(folder))}", "all trials, in HPARAMS"),
    ]
    return Section("What to do next", [Commands(commands)])
