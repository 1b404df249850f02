"""Searches made from the plan in a journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infinito.errors import ResumeError
from infinito.search.rungs import ONE_RUNG
from infinito.search.search import Search
from infinito.search.space.space import Space
from infinito.search.trials import Trial
from infinito.sweeps.fidelity import Fidelity
from infinito.sweeps.record import history
from infinito.sweeps.record.journal import read

JOURNAL = "journal.jsonl"
"""Name of the journal in a sweep's folder."""

SEARCH_KEYS = ("seed", "strategy", "selection", "exploration", "max_depth", "repeats")
"""Settings that decide what is proposed; a resumed sweep must have the same."""

SINCE = {"repeats": 1, "fidelity": None, "shared": False}
"""What plans without these keys meant, which were written before there were such keys."""


def make_search(
    plan: Mapping[str, Any],
    prior: Sequence[Trial] = (),
    trials: Sequence[Trial] = (),
    fits: Mapping[str, list[float]] | None = None,
) -> Search:
    """Make the search that a plan describes.

    Args:
        plan: Plain values: space, directions, defaults, fidelity and the `SEARCH_KEYS`.
        prior: Trials of earlier sweeps.
        trials: Its own so far.
        fits: What it has fitted so far.
    """
    plan = {**SINCE, **plan}
    fidelity = plan["fidelity"]
    return Search(
        Space.from_dict(plan["space"]),
        directions=plan["directions"],
        defaults=plan["defaults"],
        prior_trials=prior,
        trials=trials,
        fits=fits,
        rungs=ONE_RUNG if fidelity is None else Fidelity.from_dict(fidelity).rungs,
        **{key: plan[key] for key in SEARCH_KEYS},
    )


def reopen(folder: Path) -> tuple[Search, dict[int, float]]:
    """Return a sweep's search with its trials, and the seconds each took; for reading only.

    Raises:
        ResumeError: The folder holds no sweep, or its journal is damaged or of a newer version.
    """
    events = read(folder / JOURNAL)
    plan = history.read_plan(events)
    if plan is None:
        raise ResumeError(f"{folder / JOURNAL} ends before the sweep began")
    search = make_search(plan, history.read_prior(events), history.read_trials(events))
    return search, history.read_seconds(events)
