"""Sections that the pages of several kinds of run share."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infinito.cli.defaults import default_values
from infinito.cli.meanings import find_meaning
from infinito.cli.read_by import READ_BY
from infinito.config import VARIANTS, RunConf
from infinito.pages.document import Commands, Part, Plots, Section, Table, Text
from infinito.pages.kinds.run_files import RunFiles
from infinito.pages.plots import Plot, thin_out
from infinito.run_folder.commands import PROGRAM, quote_word
from infinito.run_folder.records import flatten
from infinito.run_folder.series.metrics_file import Columns
from infinito.wording import format_value

UNCOMPARED = ("task", "score", "runs_dir", "resume", "dry_run", "trainer.progress_bar")
"""Keys that say nothing of what a run computes."""
SHOWN_SAMPLES = 12
SHOWN_VALIDATIONS = 40


def build_curves(plots: Sequence[Plot], others: Sequence[Plot]) -> list[Section]:
    """Return a section of plots, and a folded one of those that few readers need."""
    found = [Section("Curves", [Plots(plots)])] if plots else []
    if others:
        found.append(Section("Other figures", [Plots(others)], is_folded=True))
    return found


def build_validations(columns: Columns, prefix: str = "val/") -> list[Section]:
    """Return a table of the figures of validations, the last of them at least."""
    names = [name for name in columns if name.startswith(prefix)]
    rows = [
        row
        for row in zip(columns.get("step", []), *(columns[name] for name in names), strict=True)
        if any(value is not None for value in row[1:])
    ]
    if not rows:
        return []
    kept = rows
    if len(rows) > SHOWN_VALIDATIONS:
        kept = [rows[at] for at in thin_out([row[1] for row in rows], SHOWN_VALIDATIONS)]
    cells = [[format_number(value) for value in row] for row in kept]
    note = "" if len(kept) == len(rows) else f"{len(kept)} of {len(rows)}"
    head = ["step", *(name.removeprefix(prefix).replace("_", " ") for name in names)]
    return [Section("Validations", [Table(head, cells)], note)]


def build_samples(run: RunFiles) -> list[Section]:
    """Return what the model wrote over time, the last first; long series are thinned out."""
    if not run.samples:
        return []
    newest_first = run.samples[::-1]
    every = -(-len(newest_first) // SHOWN_SAMPLES)
    shown = newest_first[::every]
    if newest_first[-1] not in shown:
        shown = [*shown, newest_first[-1]]
    texts = [Text(f"step {each['step']:,}", each["text"], each["prompt"]) for each in shown]
    note = "How the model goes on from the dim beginning of a validation document; the last first."
    return [Section("Samples over time", texts, note)]


def build_settings(run: RunFiles) -> list[Section]:
    """Return what differs from the defaults, all settings, and the command."""
    own, defaults = flatten_read(run.values, run.task), list_defaults(run.values)
    changed = [key for key, value in own.items() if key not in defaults or defaults[key] != value]
    rows = [
        [key, format_setting(own[key]), format_setting(defaults.get(key)), find_meaning(key)]
        for key in changed
    ]
    note = f"{len(changed)} of the {len(own)} settings that the task reads differ from the defaults"
    words = [PROGRAM, *map(quote_word, run.overrides)]
    parts: list[Part] = [Table(["key", "this run", "default", "meaning"], rows)] if rows else []
    if run.overrides:
        parts.append(Commands([(" ".join(words), "the command of this run")]))
    every = [[key, format_setting(value), find_meaning(key)] for key, value in own.items()]
    return [
        Section("Settings", parts, f"{note}."),
        Section("All settings", [Table(["key", "value", "meaning"], every)], is_folded=True),
    ]


def flatten_read(values: Mapping[str, Any], task: str) -> dict[str, Any]:
    """Return the settings that a task reads and that say something of its result, by dotted key."""
    rows = (keys for row, keys in READ_BY.items() if row.split()[0] == task)
    read = frozenset().union(*rows) - set(UNCOMPARED)
    return {key: value for key, value in _flatten(values).items() if key in read}


def list_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the defaults of the schemas that a configuration has chosen, by dotted key."""
    found = _flatten(default_values(RunConf))
    for section, schemas in VARIANTS.items():
        schema = schemas.get(str(values.get(section, {}).get("name")))
        if schema is not None:
            found |= _flatten(default_values(schema), f"{section}.")
    return found


def build_provenance(run: RunFiles) -> list[Section]:
    """Return versions, machine and text, as far as the run has recorded them."""
    rows = [[key, format_value(value)] for key, value in flatten(run.provenance).items()]
    return [Section("Provenance", [Table(["", ""], rows)], is_folded=True)] if rows else []


def build_measured(run: RunFiles) -> list[Section]:
    """Return links to what was measured with the run's model later."""
    rows: list[tuple[str, str]] = []
    links: dict[int, str] = {}
    for path in sorted(run.folder.glob("*/config.yaml")):
        page = path.parent / "report.html"
        if page.is_file():
            links[len(rows)] = f"{path.parent.name}/report.html"
            rows.append((path.parent.name, "its own page, in this run's folder"))
    if not rows:
        return []
    return [Section("Measured later", [Table(["folder", ""], rows, links=links)])]


def build_next(commands: Sequence[tuple[str, str]]) -> list[Section]:
    """Return the commands that are useful now."""
    return [Section("What to do next", [Commands(commands)])]


def format_number(value: float | None) -> str:
    """Return a number to the digits that matter; whole ones without a point."""
    if value is None:
        return ""
    return format_value(int(value) if float(value).is_integer() else float(value))


def format_setting(value: Any) -> str:
    """Return a setting as people read it."""
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    if value == "":
        return "–"
    return f"{value:g}" if isinstance(value, float) else format_value(value)


def name_run(folder: Path) -> str:
    """Return what tells a run from others in a heading: the last two parts of its folder."""
    return "/".join(folder.absolute().parts[-2:])


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= _flatten(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found
