"""A whole sweep: the plan, the journal, the search, the launches, and what is left at the end."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf, open_dict

from infinito.errors import ConfigError, ResumeError
from infinito.run_folder.folder import difference, quoted
from infinito.search.search import Search
from infinito.search.space.space import Space
from infinito.search.trials import Trial
from infinito.sweeps.grammar import Grammar
from infinito.sweeps.record import history
from infinito.sweeps.record.export import earlier_trials, results, write_csv
from infinito.sweeps.record.journal import Journal, read
from infinito.sweeps.record.plan import JOURNAL, SEARCH_KEYS, searching
from infinito.sweeps.report.board import TrialBoard
from infinito.sweeps.report.live_table import SweepTable
from infinito.sweeps.settings import MctsSweeperConf
from infinito.sweeps.sweep import Launch, Limits, Sweep
from infinito.sweeps.trial_faults import LABEL


def sweep(
    settings: MctsSweeperConf,
    config: DictConfig,
    loader: ConfigLoader,
    launcher: Launcher,
    arguments: Sequence[str],
) -> Any:
    """Run or resume a sweep to its end.

    Args:
        settings: The sweeper's own.
        config: The composed configuration of the sweep, with Hydra's node.
        loader: Composes the configuration of a trial.
        launcher: Runs trials.
        arguments: The command line's overrides.

    Returns:
        The best score, or the scores of the Pareto front; None where every trial failed.

    Raises:
        ConfigError: The settings or the space cannot be used.
        ResumeError: The sweep in this folder is another one, or its journal is damaged.
        SweepError: More trials failed than allowed.
    """
    grammar = Grammar.read(settings.params, arguments, loader)
    fixed = loader.load_sweep_config(config, grammar.fixed)
    space = grammar.space(settings.conditions, fixed)
    plan = planned(settings, grammar, space, fixed)
    folder = Path(str(config.hydra.sweep.dir))
    goes_on = settings.resume is not None and history.plan_in(read(folder / JOURNAL)) is not None
    prior, unused = ([], 0) if goes_on else warm_start(settings, space, fixed)
    for trial in searching(plan, prior).ask():
        loader.load_sweep_config(config, grammar.overrides(trial.params))  # raises where it fails
    with Journal(folder / JOURNAL) as journal:
        search = begun_or_resumed(journal, plan, prior, settings)
        OmegaConf.save(config, folder / "multirun.yaml")
        limits = limits_of(settings)
        board = TrialBoard(folder, len(search.directions))
        with SweepTable(limits, space, folder) as table:
            if unused:
                table.say(f"warm start: {unused} scored trials are no points of this space")

            def watch(run: Sweep) -> None:
                table.show(run)
                if settings.report:
                    board.show(run.search.trials)

            try:
                run = Sweep(search, journal, launching(launcher, grammar), limits, watch)
                table.end(run.run())
            finally:
                leave_results(folder, search, history.seconds_in(journal.events))
    if settings.report:
        from infinito.sweeps.report.page import write_report

        table.say(f"report: {write_report(folder)}")
    return scored(search)


def check(settings: MctsSweeperConf) -> None:
    """Looks at the settings that only the sweeper reads.

    Raises:
        ConfigError: Lists all that are out of their limits.
    """
    faults = [
        f"`hydra.sweeper.{name}`={value}: expected {expected}"
        for name, value, holds, expected in (
            (
                "direction",
                settings.direction,
                all(isinstance(each, str) for each in _listed(settings.direction)),
                "`minimize` or `maximize`, or a list of them",
            ),
            ("n_trials", settings.n_trials, settings.n_trials >= 1, "at least 1"),
            ("n_jobs", settings.n_jobs, settings.n_jobs >= 1, "at least 1"),
            (
                "max_failure_rate",
                settings.max_failure_rate,
                0 <= settings.max_failure_rate <= 1,
                "a share from 0 to 1",
            ),
            ("timeout_s", settings.timeout_s, _positive(settings.timeout_s), "above 0, or null"),
            (
                "trial_timeout_s",
                settings.trial_timeout_s,
                _positive(settings.trial_timeout_s),
                "above 0, or null",
            ),
        )
        if not holds
    ]
    if faults:
        raise ConfigError(faults)


def _listed(direction: Any) -> list[Any]:
    return direction if isinstance(direction, list) else [direction]


def _positive(limit: float | None) -> bool:
    return limit is None or limit > 0


def limits_of(settings: MctsSweeperConf) -> Limits:
    """The settings that say when to end."""
    names = [each.name for each in dataclasses.fields(Limits)]
    return Limits(**{name: getattr(settings, name) for name in names})


def planned(
    settings: MctsSweeperConf, grammar: Grammar, space: Space, config: DictConfig
) -> dict[str, Any]:
    """Everything that decides what a sweep proposes and what a score means, as plain values."""
    plan = {
        "space": space.to_dict(),
        "directions": _listed(settings.direction),
        **{key: getattr(settings, key) for key in SEARCH_KEYS},
        "defaults": grammar.defaults(config, space, settings.seed),
        "overrides": grammar.fixed,
        "warm_start": settings.warm_start,
    }
    return json.loads(json.dumps(plan))


def warm_start(
    settings: MctsSweeperConf, space: Space, config: DictConfig
) -> tuple[list[Trial], int]:
    """Trials of earlier sweeps and tables, numbered through; and how many could not be used.

    Raises:
        ConfigError: A source cannot be read, or its scores mean something else.
    """
    found: list[Trial] = []
    unused = 0
    for source in map(Path, settings.warm_start):
        written = source / "multirun.yaml"
        theirs = OmegaConf.select(OmegaConf.load(written), "score") if written.is_file() else None
        if theirs is not None and theirs != config.get("score"):
            raise ConfigError(
                f"`hydra.sweeper.warm_start`={source}: its scores are `score`={theirs}, those of "
                f"this sweep `score`={config.get('score')}. Leave it out, or set `score={theirs}`"
            )
        trials, left = earlier_trials(source, space, _listed(settings.direction))
        found, unused = [*found, *trials], unused + left
    numbered = [dataclasses.replace(trial, number=index) for index, trial in enumerate(found)]
    return numbered, unused


def begun_or_resumed(
    journal: Journal, plan: dict[str, Any], prior: list[Trial], settings: MctsSweeperConf
) -> Search:
    """The search as far as the journal tells it, the plan journaled where it is new.

    Raises:
        ConfigError: The folder already holds a sweep and nobody asked to resume it.
        ResumeError: The journal's plan is another one; tells what differs.
    """
    folder = journal.path.parent
    old = history.plan_in(journal.events)
    if old is None:
        journal.append(history.prior(prior), history.begun(plan))
        return searching(plan, prior)
    if settings.resume is None:
        raise ConfigError(
            f"{folder} already holds a sweep: go on with it by `hydra.sweeper.resume={folder}`, "
            "or choose another `hydra.sweep.dir`"
        )
    lines = [
        f"  {key}: the sweep has {before}, the command asks for {after}"
        for key, before, after in difference(_by_name(old), _by_name(plan))
    ]
    if lines:
        raise ResumeError(
            f"`hydra.sweeper.resume`={folder} goes on with exactly the sweep's space and settings, "
            "but these differ:\n" + "\n".join(lines) + "\nRepeat the first command, or start a new "
            f"sweep that learns from this one: `hydra.sweeper.warm_start=[{folder}]`"
        )
    return searching(old, history.prior_in(journal.events), history.trials_in(journal.events))


def _by_name(plan: dict[str, Any]) -> dict[str, Any]:
    """A plan whose parameters are told apart by their names."""
    parameters = {each["name"]: each for each in plan["space"]["parameters"]}
    return {**plan, "space": {**plan["space"], "parameters": parameters}}


def launching(launcher: Launcher, grammar: Grammar) -> Callable[[Sequence[Launch]], object]:
    """A function that runs launches through Hydra's launcher, in folders named by their trials."""

    def launch(launches: Sequence[Launch]) -> object:
        start = launches[0].trial.number
        jobs = []
        for index, each in enumerate(launches, start=start):
            job = grammar.overrides(each.trial.params)
            job.append(f"++hydra.job.env_set.{LABEL}='{each.label}'")
            if each.label != str(index):  # Hydra would take a folder that is in use
                job.append(f"hydra.sweep.subdir={quoted(Path(each.label))}")
            jobs.append(job)
        return launcher.launch(jobs, initial_job_idx=start)

    return launch


def leave_results(folder: Path, search: Search, seconds: dict[int, float]) -> None:
    """Writes optimization_results.yaml and trials.csv."""
    objectives = len(search.directions)
    found = results(search.trials, search.best(), search.pareto_front(), objectives)
    OmegaConf.save(OmegaConf.create(found), folder / "optimization_results.yaml")
    write_csv(folder / "trials.csv", search.trials, search.space, objectives, seconds)


def scored(search: Search) -> Any:
    """What Hydra's own caller gets."""
    if len(search.directions) > 1:
        return [list(trial.values or ()) for trial in search.pareto_front()]
    best = search.best()
    return best.values[0] if best is not None and best.values else None


def resumed_in(config: DictConfig, folder: str | None) -> DictConfig:
    """The configuration with the folder of a resumed sweep as the place where it writes.

    Raises:
        ResumeError: There is no sweep in that folder.
    """
    if folder is None:
        return config
    if not (Path(folder) / "journal.jsonl").is_file():
        raise ResumeError(
            f"`hydra.sweeper.resume`={folder}: it holds no journal.jsonl, so no sweep. "
            "Name the folder of one, or leave `hydra.sweeper.resume` out to start anew"
        )
    with open_dict(config):
        config.hydra.sweep.dir = folder
        escaped = folder.replace("'", "\\'")
        config.hydra.overrides.hydra.append(f"hydra.sweep.dir='{escaped}'")
    return config
