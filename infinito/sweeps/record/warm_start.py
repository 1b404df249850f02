"""Trials of earlier sweeps and of tables, for a search to learn from."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from infinito.errors import ConfigError
from infinito.search.space.parameters import is_number
from infinito.search.space.space import Categorical, Float, Parameter, Space
from infinito.search.trials import Trial
from infinito.sweeps.record import history
from infinito.sweeps.record.journal import read
from infinito.sweeps.record.plan import JOURNAL
from infinito.sweeps.record.tables import name_value_columns
from infinito.wording import format_count
from infinito.yaml_limits import load_yaml


def read_warm_start(
    sources: Sequence[str], space: Space, directions: Sequence[str], config: DictConfig
) -> tuple[list[Trial], int]:
    """Read the trials of all sources, numbered through, and count those that are of no use.

    Args:
        sources: Folders of sweeps, or CSV tables.
        space: Must contain the trials.
        directions: Of this sweep.
        config: Of this sweep; its `score` must be theirs.

    Raises:
        ConfigError: A source cannot be read, or its scores mean something else.
        ResumeError: A sweep's journal is damaged or of a newer version.
    """
    found: list[Trial] = []
    unused = 0
    for source in map(Path, sources):
        written = source / "multirun.yaml"
        theirs = OmegaConf.select(load_yaml(written), "score") if written.is_file() else None
        if theirs is not None and theirs != config.get("score"):
            raise ConfigError(
                f"`hydra.sweeper.warm_start`={source}: its scores are `score`={theirs}, those of "
                f"this sweep `score`={config.get('score')}. Leave it out, or set `score={theirs}`"
            )
        trials, left = read_earlier_trials(source, space, directions)
        found, unused = [*found, *trials], unused + left
    return [replace(trial, number=index) for index, trial in enumerate(found)], unused


def read_earlier_trials(
    source: Path, space: Space, directions: Sequence[str]
) -> tuple[list[Trial], int]:
    """Read the finished trials of a sweep or a CSV that are points of a space.

    Args:
        source: A sweep's folder; or a CSV with a column for each parameter, and `value` (for
            several objectives `value_0`, `value_1` …).
        space: Must contain the trials.
        directions: A sweep's must be these.

    Returns:
        The trials, and how many others have scores but are no points of the space.

    Raises:
        ConfigError: There is no such source, its sweep had other directions, a column is missing,
            or no trial is of this space.
        ResumeError: The sweep's journal is damaged or of a newer version.
    """
    key = f"`hydra.sweeper.warm_start`={source}"
    objectives = len(directions)
    if source.is_dir():
        events = read(source / JOURNAL)
        theirs = (history.read_plan(events) or {}).get("directions")
        if theirs not in (None, list(directions)):
            raise ConfigError(
                f"{key}: its directions are {theirs}, those of this sweep {list(directions)}, so "
                "its best trials would count as the worst"
            )
        listed = [(t.params, t.values) for t in history.read_trials(events)]
    elif source.is_file():
        listed = _read_rows(source, space, objectives)
    else:
        raise ConfigError(f"{key}: there is no such folder or file")
    scored = [(params, values) for params, values in listed if values]
    usable = [
        Trial(number, {name: params[name] for name in space.names}, tuple(values), "finished")
        for number, (params, values) in enumerate(scored)
        if len(values) == objectives and space.contains(params)
    ]
    if not usable:
        first = ""
        if scored:
            settings = (f"{name}={scored[0][0].get(name)}" for name in space.names)
            first = f"; the first with a score has {', '.join(settings)}"
        raise ConfigError(
            f"{key}: none of its {len(listed)} trials is a finished point of this space, which has "
            f"{', '.join(space.names)} and {format_count(objectives, 'objective')}{first}"
        )
    return usable, len(scored) - len(usable)


def _read_rows(path: Path, space: Space, objectives: int) -> list[tuple[dict[str, Any], Any]]:
    """Read parameters and scores of a table's rows, without rows that have no finite score.

    Raises:
        ConfigError: The file is no UTF-8 table, or a column is missing.
    """
    key = f"`hydra.sweeper.warm_start`={path}"
    columns = name_value_columns(objectives)
    wanted = [*space.names, *columns]
    try:
        # utf-8-sig: spreadsheets begin their tables with a byte-order mark
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            header, rows = list(reader.fieldnames or ()), list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(
            f"{key} is not a UTF-8 table of comma-separated values: {error}"
        ) from None
    missing = [name for name in wanted if name not in header]
    if missing:
        raise ConfigError(
            f"{key} has no column `{missing[0]}`; expected one for each of {', '.join(wanted)}"
        )
    if twice := [name for name in wanted if header.count(name) > 1]:
        raise ConfigError(f"{key} has the column `{twice[0]}` {header.count(twice[0])} times")
    for number, row in enumerate(rows, start=1):
        if None in row or None in row.values():
            raise ConfigError(
                f"{key}, row {number}: it has another number of cells than the {len(header)} of "
                "the heading"
            )
    return [
        ({each.name: _parse_value(each, row[each.name]) for each in space.parameters}, scores)
        for row in rows
        if (scores := _parse_scores(row, columns)) is not None
    ]


def _parse_scores(row: Mapping[str, str], columns: Sequence[str]) -> tuple[float, ...] | None:
    try:
        scores = tuple(float(row[name]) for name in columns)
    except ValueError:
        return None  # a trial that failed
    return scores if all(map(math.isfinite, scores)) else None


def _parse_value(parameter: Parameter, text: str) -> Any:
    if isinstance(parameter, Categorical):
        return next((each for each in parameter.choices if _means(text, each)), text)
    try:
        return float(text) if isinstance(parameter, Float) else int(text)
    except ValueError:
        return text


def _means(text: str, choice: Any) -> bool:
    """Tell whether a cell holds this choice; 1e-3 is 0.001, and True is true."""
    if is_number(choice):
        try:
            return float(text) == float(choice)
        except ValueError:
            return False
    return text.lower() == json.dumps(choice) if not isinstance(choice, str) else text == choice
