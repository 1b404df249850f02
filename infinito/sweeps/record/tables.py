"""A sweep's trials.csv and optimization_results.yaml."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from infinito.search.search import Search
from infinito.sweeps.record.confirmation import summarise_confirmation


def write_results(folder: Path, search: Search, seconds: Mapping[int, float]) -> None:
    """Write optimization_results.yaml and trials.csv.

    Args:
        folder: The sweep's.
        search: As far as it came.
        seconds: How long each trial took, by number.
    """
    results = OmegaConf.create(summarise_results(search))
    OmegaConf.save(results, folder / "optimization_results.yaml")
    write_csv(folder / "trials.csv", search, seconds)


def summarise_results(search: Search) -> dict[str, Any]:
    """Return what optimization_results.yaml says, in the shape of Hydra's Optuna sweeper."""
    states = [trial.state for trial in search.trials]
    named: dict[str, Any] = {
        "name": "infinito_mcts",
        "trials": len(states),
        "finished": states.count("finished"),
        "failed": states.count("failed"),
    }
    if "paused" in states:
        named["paused"] = states.count("paused")
    if len(search.directions) > 1:
        front = search.pareto_front()
        listed = [{"params": trial.params, "values": list(trial.values or ())} for trial in front]
        return {**named, "solutions": listed}
    best = search.best()
    if best is None or best.values is None:
        return {**named, "best_params": None, "best_value": None}
    named |= {"best_params": best.params, "best_value": best.values[0]}
    recommended = search.recommend()
    if search.repeats != 1 and recommended is not None:
        named["recommended_params"] = recommended.params
    confirmed = summarise_confirmation(search)
    return named if confirmed is None else {**named, "confirmed": confirmed.to_dict()}


def write_csv(path: Path, search: Search, seconds: Mapping[int, float]) -> None:
    """Write all trials, one a line."""
    columns = name_value_columns(len(search.directions))
    names = search.space.names
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["number", "state", *columns, *names, "seconds", "error"])
        for trial in search.trials:
            writer.writerow(
                [
                    trial.number,
                    trial.state,
                    *(trial.values or [""] * len(columns)),
                    *("null" if trial.params[n] is None else trial.params[n] for n in names),
                    seconds.get(trial.number, ""),
                    trial.error or "",
                ]
            )


def name_value_columns(objectives: int) -> list[str]:
    """Return the names of the columns of scores."""
    return ["value"] if objectives == 1 else [f"value_{index}" for index in range(objectives)]
