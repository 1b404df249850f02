"""Beginning a sweep in a folder, or going on with the one that is there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, open_dict

from infinito.errors import ConfigError, ResumeError
from infinito.run_folder.commands import format_text
from infinito.run_folder.folder import difference
from infinito.search.search import Search
from infinito.search.trials import Trial
from infinito.search.versions import VERSION
from infinito.sweeps.record import history, outcomes
from infinito.sweeps.record.journal import Journal, read
from infinito.sweeps.record.plan import JOURNAL, SINCE, make_search
from infinito.sweeps.settings import MctsSweeperConf


def is_begun(folder: Path) -> bool:
    """Tell whether the journal of a sweep to resume holds a plan.

    Raises:
        ResumeError: There is no journal, or it is damaged; or it holds no plan although trials
            have run, so it was emptied.
    """
    journal = folder / JOURNAL
    if not journal.is_file():
        raise ResumeError(
            f"`hydra.sweeper.resume`={folder}: it holds no {JOURNAL}, so no sweep. "
            "Name the folder of one, or leave `hydra.sweeper.resume` out to start anew"
        )
    if history.read_plan(read(journal)) is not None:
        return True
    if any(list_launches(folder)):
        raise ResumeError(
            f"{journal} is empty or cut off before the sweep began, but trials have run in "
            f"{folder}: the file was damaged after it was written. Restore it from a copy, or "
            "start a new sweep that learns from the table of its trials: "
            f"`hydra.sweeper.warm_start=[{folder / 'trials.csv'}]`"
        )
    return False


def list_launches(folder: Path) -> Iterator[tuple[int, int]]:
    """Yield trial number and attempt of every launch that left a folder or an outcome."""
    names = [path.name for path in folder.glob("[0-9]*") if path.is_dir()]
    names += [path.stem for path in (folder / outcomes.FOLDER).glob("*.json")]
    for name in names:
        if match := re.fullmatch(r"(\d+)(?:\.(\d+))?", name):
            yield int(match[1]), int(match[2] or 1)


def begin_or_resume(
    journal: Journal, plan: dict[str, Any], prior: Sequence[Trial], resume: str | None
) -> Search:
    """Make the search as far as the journal holds it; journal the plan where it is new.

    A sweep of an earlier version goes on with the proposals of this one, and the journal says from
    where on.

    Args:
        journal: Open for writing.
        plan: What the command asks for.
        prior: Trials of earlier sweeps, for a new sweep.
        resume: `hydra.sweeper.resume`.

    Raises:
        ConfigError: The folder holds a sweep already and `resume` is not set.
        ResumeError: The journal's plan is another one; names what differs.
    """
    folder = journal.path.parent
    old = history.read_plan(journal.events)
    if old is None:
        journal.append(
            history.make_prior_event(prior),
            history.make_begin_event(plan),
            history.make_version_event(VERSION),
        )
        return make_search(plan, prior)
    if resume is None:
        raise ConfigError(
            f"{folder} already holds a sweep: go on with it by `hydra.sweeper.resume={folder}`, "
            "or choose another `hydra.sweep.dir`"
        )
    lines = [
        f"  {key}: the sweep has {before}, the command asks for {after}"
        for key, before, after in difference(
            _name_parameters({**SINCE, **old}), _name_parameters({**SINCE, **plan})
        )
    ]
    if lines:
        raise ResumeError(
            f"`hydra.sweeper.resume`={folder} goes on with exactly the sweep's space and settings, "
            "but these differ:\n" + "\n".join(lines) + "\nRepeat the first command, or start a new "
            f"sweep that learns from this one: `hydra.sweeper.warm_start=[{folder}]`"
        )
    if history.read_version(journal.events) != VERSION:
        journal.append(history.make_version_event(VERSION))
    events = journal.events
    return make_search(
        old, history.read_prior(events), history.read_trials(events), history.read_fits(events)
    )


def settle_in_folder(config: DictConfig, settings: MctsSweeperConf) -> DictConfig:
    """Make the folder of a resumed or shared sweep the one that it and its trials write to.

    Raises:
        ResumeError: There is no sweep to resume in that folder.
    """
    folder = settings.resume or settings.shared
    if folder is None:
        return config
    if settings.resume is not None:
        is_begun(Path(folder))
    with open_dict(config):
        config.hydra.sweep.dir = folder
        config.hydra.overrides.hydra.append(f"hydra.sweep.dir={format_text(folder)}")
    return config


def is_shared(folder: Path, settings: MctsSweeperConf) -> bool:
    """Tell whether drivers share the sweep of a folder, or will."""
    if settings.resume is None:
        return settings.shared is not None
    return bool((history.read_plan(read(folder / JOURNAL)) or {}).get("shared"))


def _name_parameters(plan: dict[str, Any]) -> dict[str, Any]:
    """Return a plan with its parameters by name, so that their order makes no difference."""
    parameters = {each["name"]: each for each in plan["space"]["parameters"]}
    return {**plan, "space": {**plan["space"], "parameters": parameters}}
