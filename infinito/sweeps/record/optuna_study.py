"""A sweep as an Optuna study, for its dashboard, plots and importances."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from infinito.errors import SaveError
from infinito.extras import require_extra
from infinito.search.search import Search
from infinito.search.space.space import Categorical, Float, Int, Parameter
from infinito.sweeps.record.plan import reopen

if TYPE_CHECKING:
    from optuna import Study

FILE = "optuna.db"
"""SQLite file in a sweep's folder."""


def export_study(folder: Path) -> Path:
    """Write a sweep's ended trials to optuna.db in its folder, in place of an earlier export.

    The study is named like the folder.

    Returns:
        The SQLite file.

    Raises:
        MissingExtraError: Optuna is not installed.
        ResumeError: The folder holds no sweep, or its journal is damaged.
        SaveError: The file cannot be written.
    """
    search, _ = reopen(folder)
    target = folder / FILE
    partial = folder / f"{FILE}.partial"
    try:
        partial.unlink(missing_ok=True)
        (folder / f"{FILE}.partial-journal").unlink(missing_ok=True)  # of a killed export
        partial.touch()
    except OSError as error:
        raise SaveError(f"Cannot write {target}: {error.strerror or error}") from error
    name = folder.resolve().name
    make_study(search, storage=f"sqlite:///{partial.absolute()}", study_name=name)
    partial.replace(target)
    return target


def make_study(search: Search, **settings: Any) -> Study:
    """Make an Optuna study of a search's ended trials.

    Args:
        search: Its trials are added in their order.
        settings: What `optuna.create_study` takes: `storage="sqlite:///sweep.db"`, `study_name` ….

    Raises:
        MissingExtraError: Optuna is not installed.
    """
    require_extra("optuna")
    import optuna
    from optuna.trial import TrialState, create_trial

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(directions=list(search.directions), **settings)  # type: ignore[arg-type]
    distributions = {each.name: _make_distribution(each) for each in search.space.parameters}
    states = {
        "finished": TrialState.COMPLETE,
        "paused": TrialState.PRUNED,
        "failed": TrialState.FAIL,
    }
    for trial in search.trials:
        if trial.state == "running":
            continue
        finished = trial.state == "finished"
        study.add_trial(
            create_trial(
                state=states[trial.state],
                intermediate_values=dict(enumerate(trial.curve)),
                params=trial.params,
                distributions=distributions,
                values=list(trial.values) if finished and trial.values else None,
                user_attrs={
                    "number": trial.number,
                    **({"error": trial.error} if trial.error else {}),
                },
            )
        )
    return study


def _make_distribution(parameter: Parameter) -> Any:
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
