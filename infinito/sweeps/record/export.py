"""Trials as tables: a CSV to read and to learn from, the results file, an Optuna study."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infinito.errors import ConfigError
from infinito.extras import require_extra
from infinito.search.space.parameters import is_number
from infinito.search.space.space import Categorical, Float, Int, Parameter, Space
from infinito.search.trials import Trial
from infinito.sweeps.record import history
from infinito.sweeps.record.journal import read
from infinito.sweeps.record.plan import JOURNAL

if TYPE_CHECKING:
    from optuna import Study


def value_columns(objectives: int) -> list[str]:
    """Names of the columns of scores."""
    return ["value"] if objectives == 1 else [f"value_{index}" for index in range(objectives)]


def write_csv(
    path: Path, trials: Sequence[Trial], space: Space, objectives: int, seconds: Mapping[int, float]
) -> None:
    """Writes all trials, one a line."""
    columns = value_columns(objectives)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["number", "state", *columns, *space.names, "seconds", "error"])
        for trial in trials:
            writer.writerow(
                [
                    trial.number,
                    trial.state,
                    *(trial.values or [""] * objectives),
                    *(_written(trial.params[name]) for name in space.names),
                    seconds.get(trial.number, ""),
                    trial.error or "",
                ]
            )


def earlier_trials(
    source: Path, space: Space, directions: Sequence[str]
) -> tuple[list[Trial], int]:
    """Finished trials of an earlier sweep, or of a CSV, that are points of this space.

    Scored ones that are not are counted, no more.

    Args:
        source: A sweep's folder; or a CSV with a column for each parameter, and `value` (for
            several objectives `value_0`, `value_1` …).

    Raises:
        ConfigError: There is no such source, its sweep had other directions, a column is missing,
            or no trial is of this space.
        ResumeError: The sweep's journal is damaged or of a newer version.
    """
    key = f"`hydra.sweeper.warm_start`={source}"
    objectives = len(directions)
    if source.is_dir():
        events = read(source / JOURNAL)
        theirs = (history.plan_in(events) or {}).get("directions")
        if theirs not in (None, list(directions)):
            raise ConfigError(
                f"{key}: its directions are {theirs}, those of this sweep {list(directions)}, so "
                "its best trials would count as the worst"
            )
        listed = [(t.params, t.values) for t in history.trials_in(events)]
    elif source.is_file():
        listed = _rows(source, space, objectives)
    else:
        raise ConfigError(f"{key}: there is no such folder or file")
    scored = [(params, values) for params, values in listed if values]
    usable = [
        Trial(number, {name: params[name] for name in space.names}, tuple(values), "finished")
        for number, (params, values) in enumerate(scored)
        if len(values) == objectives and space.contains(params)
    ]
    if not usable:
        raise ConfigError(
            f"{key}: none of its {len(listed)} trials is a finished point of this space, which has "
            f"{', '.join(space.names)} and {objectives} objective{'s' * (objectives > 1)}"
        )
    return usable, len(scored) - len(usable)


def results(
    trials: Sequence[Trial], best: Trial | None, front: Sequence[Trial], objectives: int
) -> dict[str, Any]:
    """What optimization_results.yaml says, in the shape of Hydra's Optuna sweeper."""
    counts = {
        state: sum(trial.state == state for trial in trials) for state in ("finished", "failed")
    }
    named = {"name": "infinito_mcts", "trials": len(trials), **counts}
    if objectives > 1:
        listed = [{"params": trial.params, "values": list(trial.values or ())} for trial in front]
        return {**named, "solutions": listed}
    if best is None or best.values is None:
        return {**named, "best_params": None, "best_value": None}
    return {**named, "best_params": best.params, "best_value": best.values[0]}


def to_optuna(
    trials: Sequence[Trial], space: Space, directions: Sequence[str], **study: Any
) -> Study:
    """The trials as an Optuna study, for its dashboard, plots and importances.

    Args:
        study: What `optuna.create_study` takes: `storage="sqlite:///sweep.db"`, `study_name` ….
    """
    require_extra("optuna")
    import optuna
    from optuna.trial import TrialState, create_trial

    made = optuna.create_study(directions=list(directions), **study)  # type: ignore[arg-type]
    distributions = {each.name: _distribution(each) for each in space.parameters}
    for trial in trials:
        if trial.state == "running":
            continue
        finished = trial.state == "finished"
        made.add_trial(
            create_trial(
                state=TrialState.COMPLETE if finished else TrialState.FAIL,
                params=trial.params,
                distributions=distributions,
                values=list(trial.values) if finished and trial.values else None,
                user_attrs={"error": trial.error} if trial.error else {},
            )
        )
    return made


def _distribution(parameter: Parameter) -> Any:
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    match parameter:
        case Float():
            return FloatDistribution(parameter.low, parameter.high, log=parameter.log)
        case Int():
            step = 1 if parameter.log else parameter.step
            return IntDistribution(parameter.low, parameter.high, log=parameter.log, step=step)
        case Categorical():
            return CategoricalDistribution(parameter.choices)


def _rows(path: Path, space: Space, objectives: int) -> list[tuple[dict[str, Any], Any]]:
    wanted = [*space.names, *value_columns(objectives)]
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        missing = [name for name in wanted if name not in (reader.fieldnames or ())]
        if missing:
            raise ConfigError(
                f"`hydra.sweeper.warm_start`={path} has no column `{missing[0]}`; expected one for "
                f"each of {', '.join(wanted)}"
            )
        return [
            ({each.name: _value(each, row[each.name]) for each in space.parameters}, scores)
            for row in reader
            if (scores := _scores(row, value_columns(objectives))) is not None
        ]


def _scores(row: Mapping[str, str], columns: Sequence[str]) -> tuple[float, ...] | None:
    try:
        scores = tuple(float(row[name]) for name in columns)
    except ValueError:
        return None  # a trial that failed
    return scores if all(map(math.isfinite, scores)) else None


def _value(parameter: Parameter, text: str) -> Any:
    if isinstance(parameter, Categorical):
        return next((each for each in parameter.choices if _reads(each, text)), text)
    try:
        return float(text) if isinstance(parameter, Float) else int(text)
    except ValueError:
        return text


def _reads(choice: Any, text: str) -> bool:
    """Whether a cell holds this choice; 1e-3 is 0.001, and True is true."""
    if is_number(choice):
        try:
            return float(text) == choice
        except ValueError:
            return False
    return text.lower() == json.dumps(choice) if not isinstance(choice, str) else text == choice


def _written(value: Any) -> Any:
    return "null" if value is None else value
