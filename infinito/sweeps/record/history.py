"""The events of a sweep's journal: made here, and read back as trials, launches and durations.

Events: `begin` (plan), `prior` (trials of earlier sweeps), `ask` (numbers and parameters of a
batch; one line, so that a kill leaves a batch whole or leaves none; and what the strategy fitted
for it), `start` (with the driver, where several share the search), `pause` (the score at a rung),
`go_on`, `finish`, `fail`, `version` (of the proposals from here on).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from infinito.search.trials import Trial
from infinito.sweeps.record.journal import Event

ENDS = ("pause", "finish", "fail")
"""Events that end a launch."""


def read_plan(events: Iterable[Event]) -> dict[str, Any] | None:
    """Return the sweep's plan, or None where it has not begun."""
    return next((event["plan"] for event in events if event["event"] == "begin"), None)


def read_prior(events: Iterable[Event]) -> list[Trial]:
    """Return the trials of earlier sweeps that this one learns from; the last list counts."""
    lists = [event["trials"] for event in events if event["event"] == "prior"]
    listed = lists[-1] if lists else []
    return [
        Trial(number, each["params"], tuple(each["values"]), "finished")
        for number, each in enumerate(listed)
    ]


def read_trials(events: Iterable[Event]) -> list[Trial]:
    """Return all proposed trials; those without an end are "running"."""
    trials: list[Trial] = []
    for event in events:
        apply(event, trials)
    return trials


def apply(event: Event, trials: list[Trial]) -> None:
    """Do to the trials what an event says."""
    match event["event"]:
        case "ask":
            trials += [
                Trial(
                    each["number"],
                    each["params"],
                    repeat=each.get("repeat", 0),
                    confirms=each.get("confirms"),
                )
                for each in event["trials"]
            ]
        case "go_on":
            for number in event["numbers"]:
                trials[number].state = "running"
        case "finish" | "pause":
            trials[event["number"]].settle(event["values"], event["event"] == "finish")
        case "fail":
            trial = trials[event["number"]]
            trial.error, trial.state = event["error"], "failed"


def read_version(events: Iterable[Event]) -> int:
    """Return the version of the search that made the last proposals."""
    versions = [event["search"] for event in events if event["event"] == "version"]
    return versions[-1] if versions else 1


def count_attempts(events: Iterable[Event]) -> Counter[int]:
    """Return how often each trial was launched."""
    starts = (event["numbers"] for event in events if event["event"] == "start")
    return Counter(number for numbers in starts for number in numbers)


def count_settled_attempts(events: Iterable[Event]) -> Counter[int]:
    """Return how many launches of each trial came before its last score or failure."""
    started: Counter[int] = Counter()
    settled: Counter[int] = Counter()
    for event in events:
        if event["event"] == "start":
            started.update(event["numbers"])
        elif event["event"] in ENDS:
            settled[event["number"]] = started[event["number"]]
    return settled


def read_seconds(events: Iterable[Event]) -> dict[int, float]:
    """Return how long the launches of each trial took, where that is known."""
    found: dict[int, float] = {}
    for event in events:
        if event["event"] in ENDS and event["seconds"] is not None:
            found[event["number"]] = found.get(event["number"], 0.0) + event["seconds"]
    return found


def make_ask_event(trials: Sequence[Trial], fits: Mapping[str, list[float]] | None = None) -> Event:
    """Return the event of a proposed batch, with what the strategy has fitted to propose it."""
    listed: list[Event] = []
    for trial in trials:
        listed.append({"number": trial.number, "params": trial.params})
        if trial.repeat:
            listed[-1]["repeat"] = trial.repeat
        if trial.confirms:
            listed[-1]["confirms"] = trial.confirms
    return {"event": "ask", "trials": listed, **({"fits": dict(fits)} if fits else {})}


def read_fits(events: Iterable[Event]) -> dict[str, list[float]]:
    """Return all that the strategy has fitted; see `Search.fits`."""
    found: dict[str, list[float]] = {}
    for event in events:
        found.update(event.get("fits", {}))
    return found


def make_prior_event(trials: Sequence[Trial]) -> Event:
    """Return the event that lists the earlier trials the search learns from."""
    listed = [{"params": trial.params, "values": list(trial.values or ())} for trial in trials]
    return {"event": "prior", "trials": listed}


def make_version_event(version: int) -> Event:
    """Return the event that proposals from here on are made by this version of the search."""
    return {"event": "version", "search": version}


def make_begin_event(plan: Mapping[str, Any]) -> Event:
    """Return the event that holds the sweep's plan."""
    return {"event": "begin", "plan": dict(plan)}
