"""A whole sweep: the plan, the journal, the search, the launches, and what is left at the end."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf

from infinito.errors import ConfigError
from infinito.run_folder.commands import format_text
from infinito.search.search import Search
from infinito.search.space.space import Space
from infinito.search.trials import Trial
from infinito.search.versions import VERSION, describe_changes
from infinito.sweeps.composing import compose_fixed
from infinito.sweeps.driving.drivers import Drivers
from infinito.sweeps.driving.shared_sweep import SharedSweep
from infinito.sweeps.driving.sweep import Sweep
from infinito.sweeps.fidelity import Fidelity, pause_overrides, read_fidelity, whole_overrides
from infinito.sweeps.grammar import Grammar
from infinito.sweeps.launching.lanes import open_lanes
from infinito.sweeps.launching.launches import Launch, Limits
from infinito.sweeps.launching.trial_faults import LABEL
from infinito.sweeps.record import history, resuming
from infinito.sweeps.record.journal import Journal, SharedJournal
from infinito.sweeps.record.plan import JOURNAL, SEARCH_KEYS, make_search
from infinito.sweeps.record.tables import write_results
from infinito.sweeps.record.warm_start import read_warm_start
from infinito.sweeps.report.board import TrialBoard
from infinito.sweeps.report.live_table import SweepTable
from infinito.sweeps.settings import HEARTBEAT_S, MctsSweeperConf, list_directions
from infinito.wording import format_count

SEED = "seed"
"""The key by which trials of one setting differ."""

FRESH = 5
"""Fresh seeds with which the recommended setting of a noisy search is confirmed."""


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
    fixed = compose_fixed(loader, config, grammar.fixed)
    space = grammar.space(settings.conditions, fixed)
    fidelity = read_fidelity(settings, grammar, fixed)
    plan = make_plan(settings, grammar, space, fixed, fidelity)
    folder = Path(str(config.hydra.sweep.dir))
    is_shared = resuming.is_shared(folder, settings)
    plan = make_plan(settings, grammar, space, fixed, fidelity)
    if is_shared:
        plan["shared"] = True
    prior: list[Trial] = []
    unused = 0
    if not _goes_on(folder, settings):
        directions = list_directions(settings)
        prior, unused = read_warm_start(settings.warm_start, space, directions, fixed)
    for trial in make_search(plan, prior).ask():
        loader.load_sweep_config(config, grammar.overrides(trial.params))  # raises where it fails
    jobs = partial(write_jobs, grammar, folder, fidelity, read_seed(settings, grammar, fixed))
    lanes = open_lanes(settings, config, launcher, jobs)
    if is_shared and lanes is None:
        raise ConfigError(
            f"`hydra.sweeper.shared`={folder} proposes one trial at a time, and "
            f"`hydra.sweeper.asynchronous`={settings.asynchronous} with this launcher runs "
            "batches. Use the launcher `basic`, `joblib`, `ray`, `submitit_local` or "
            "`submitit_slurm`, and `hydra.sweeper.asynchronous=null`"
        )

    def launch(launches: Sequence[Launch]) -> object:
        overrides, start = jobs(launches)
        return launcher.launch(overrides, initial_job_idx=start)

    open_journal = SharedJournal if is_shared else Journal
    with open_journal(folder / JOURNAL) as journal:
        with journal.turn():
            is_old = history.read_plan(journal.events) is not None
            version = history.read_version(journal.events)
            resume = settings.resume or settings.shared
            search = resuming.begin_or_resume(journal, plan, prior, resume)
            OmegaConf.save(config, folder / "multirun.yaml")
            begin: dict[str, Any] = {
                "search": search,
                "journal": journal,
                "launcher": launch,
                "limits": read_limits(settings),
                "hints": grammar.whole_number_hints(fixed),
                "lanes": lanes,
            }
            drivers = Drivers(folder, settings.heartbeat_s or HEARTBEAT_S)
            run = SharedSweep(drivers, **begin) if is_shared else Sweep(**begin)
        with SweepTable(run) as table:
            if prior:
                left = f"; {unused} with scores are no points of this space" if unused else ""
                count = format_count(len(prior), "earlier trial")
                table.say(f"warm start: the search learns from {count}{left}")
            if is_old and version != VERSION:
                table.say(
                    f"the search has changed since this sweep began, from version {version} to "
                    f"{VERSION}, and goes on with what it is now: {describe_changes(version)}"
                )
            board = TrialBoard(folder, len(search.directions))

            def watch() -> None:
                table.show()
                if settings.report:
                    board.show(search.trials)

            run.watch = watch
            try:
                table.say(run.run())
            finally:
                with run.turn():
                    write_results(folder, search, history.read_seconds(journal.events))
    if settings.report:
        with table.console.status("writing the page"), run.turn():
            from infinito.sweeps.report.page import write_report

            page = write_report(folder)
        table.say(f"report: {page}")
    table.say_next()
    return best_scores(search)


def _goes_on(folder: Path, settings: MctsSweeperConf) -> bool:
    """Tell whether there is a sweep that the command goes on with."""
    if settings.shared is not None and not (folder / JOURNAL).exists():
        return False
    return (settings.resume or settings.shared) is not None and resuming.is_begun(folder)


def make_plan(
    settings: MctsSweeperConf,
    grammar: Grammar,
    space: Space,
    config: DictConfig,
    fidelity: Fidelity | None,
) -> dict[str, Any]:
    """Return all that decides what a sweep proposes and what a score means, as plain values."""
    plan = {
        "space": space.to_dict(),
        "directions": list_directions(settings),
        **{key: getattr(settings, key) for key in SEARCH_KEYS},
        "defaults": grammar.defaults(config, space, settings.seed),
        "fidelity": None if fidelity is None else dataclasses.asdict(fidelity),
        "overrides": grammar.fixed,
        "warm_start": settings.warm_start,
    }
    plain: dict[str, Any] = json.loads(json.dumps(plan))
    return plain


def read_limits(settings: MctsSweeperConf) -> Limits:
    """Return the settings that say when to end."""
    names = [each.name for each in dataclasses.fields(Limits)]
    given = {name: getattr(settings, name) for name in names}
    return Limits(**{**given, "confirm": count_fresh_seeds(settings)})


def count_fresh_seeds(settings: MctsSweeperConf) -> int:
    """Return with how many fresh seeds the recommended setting is confirmed."""
    if settings.confirm is None:
        return 0 if settings.repeats == 1 else FRESH
    return settings.confirm


def read_seed(settings: MctsSweeperConf, grammar: Grammar, config: DictConfig) -> int:
    """Return the `seed` of the first trial of each setting; later ones count up from it.

    Raises:
        ConfigError: Trials need seeds of their own, and the configuration has none or searches it.
    """
    seed = OmegaConf.select(config, SEED)
    if settings.repeats == 1 and not count_fresh_seeds(settings):
        return 0
    keys = f"`hydra.sweeper.repeats`={settings.repeats} and `confirm`={settings.confirm}"
    if SEED in grammar.parameters:
        raise ConfigError(f"{keys} give trials seeds of their own, and `{SEED}` is searched")
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise ConfigError(
            f"{keys} give trials seeds of their own by the key `{SEED}`, and the configuration's "
            f"is {seed}; expected a whole number"
        )
    return seed


def write_jobs(
    grammar: Grammar,
    folder: Path,
    fidelity: Fidelity | None,
    seed: int,
    launches: Sequence[Launch],
) -> tuple[list[list[str]], int]:
    """Return the overrides of launches as Hydra's jobs, and the number of the first.

    Each has a folder with the trial's number, and the attempt where it is not the first.

    Args:
        grammar: Writes settings as overrides.
        folder: The sweep's.
        fidelity: Where trials pause; None where they do not.
        seed: Of the first trial of each setting.
        launches: Of trials with numbers that follow each other, or one alone.
    """
    start = launches[0].trial.number
    jobs = []
    for index, each in enumerate(launches, start=start):
        job = grammar.overrides(each.trial.params)
        if each.trial.repeat:
            job = [word for word in job if word.lstrip("+").partition("=")[0] != SEED]
            job.append(f"{SEED}={seed + each.trial.repeat}")
        if fidelity is not None and each.trial.confirms is None:
            rung = len(each.trial.curve)
            job += pause_overrides(fidelity, folder, each.trial.number, rung)
        elif fidelity is not None:
            job += whole_overrides(fidelity)
        job.append(f"++hydra.job.env_set.{LABEL}='{each.label}'")
        if each.label != str(index):  # Hydra would take a folder that is in use
            job.append(f"hydra.sweep.subdir={format_text(each.label)}")
        jobs.append(job)
    return jobs, start


def best_scores(search: Search) -> Any:
    """Return what Hydra's caller gets: the best score, or a list of scores for each best trial."""
    if len(search.directions) > 1:
        return [list(trial.values or ()) for trial in search.pareto_front()]
    best = search.best()
    return best.values[0] if best is not None and best.values else None
