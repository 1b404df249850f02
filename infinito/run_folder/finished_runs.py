"""Finds finished runs, one by one or inside the folders of sweeps, and reads their results."""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infinito.errors import CheckpointError, ConfigError
from infinito.run_folder.folder import saved_values


@dataclass(frozen=True)
class FinishedRun:
    """A finished run: its folder, configuration and results."""

    folder: Path
    values: dict[str, Any]
    summary: dict[str, Any]


def find_runs(entries: Sequence[str]) -> tuple[list[Path], list[Path]]:
    """Return the finished and the unfinished run folders that entries name, each folder once.

    Args:
        entries: Run folders, folders that hold runs (as those of sweeps do), or glob patterns of
            either.

    Returns:
        Finished runs and those that were named themselves, then the unfinished runs inside of
        named folders.

    Raises:
        ConfigError: an entry names no run.
    """
    named: dict[Path, None] = {}
    unfinished: dict[Path, None] = {}
    for entry in entries:
        is_pattern = glob.has_magic(entry) and not Path(entry).is_dir()
        matches = glob.glob(entry, recursive=True) if is_pattern else [entry]
        folders = sorted(map(Path, matches), key=_natural_order)
        found = [run for folder in folders for run in _list_runs(folder)]
        if not found:
            raise ConfigError(
                f"`runs`: {entry} names no run. Expected a run folder (it holds a config.yaml), "
                "the folder of a sweep, or a pattern of them, e.g. `runs=['multirun/base/*']`"
            )
        for run in found:
            is_named = not is_pattern and run == Path(entry)
            skipped = not is_named and not (run / "summary.json").is_file()
            (unfinished if skipped else named)[run] = None
    return list(named), [run for run in unfinished if run not in named]


def read_finished(folder: Path) -> FinishedRun:
    """Read the configuration and the results of a run.

    Raises:
        CheckpointError: the folder holds no run, the run has not finished, or its summary.json is
            damaged.
    """
    values = saved_values(folder)
    path = folder / "summary.json"
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(
            f"{folder} holds no summary.json: the run has not finished. "
            f"Go on with it by `resume={folder}`"
        ) from None
    except (OSError, ValueError) as error:
        raise CheckpointError(_describe_damage(path, str(error))) from None
    if not isinstance(summary, dict):
        raise CheckpointError(
            _describe_damage(path, f"expected names and figures, found a {type(summary).__name__}")
        )
    return FinishedRun(folder, values, summary)


def _describe_damage(path: Path, fault: str) -> str:
    return (
        f"{path} cannot be read: {fault}. Leave the run out of `runs`, or write the file anew with "
        f"`resume={path.parent}`"
    )


def _list_runs(folder: Path) -> list[Path]:
    if (folder / "config.yaml").is_file():
        return [folder]
    inside = sorted(folder.glob("*/config.yaml"), key=_natural_order)
    return [path.parent for path in inside]


def _natural_order(path: Path) -> list[tuple[int, str]]:
    """Return a sort key that puts trial 9 before trial 10."""
    return [
        (int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", str(path))
    ]
