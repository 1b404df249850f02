"""How a command builds on an older run: what it goes on with, and what it takes over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from infinito.cli.command_line import ADDED_GROUPS
from infinito.cli.read_by import (
    CONTINUABLE,
    PUSHES,
    SHOWS,
    TAKEN,
    find_reading,
    find_section,
    keys,
)
from infinito.cli.revisions import REVISIONS
from infinito.cli.rules.unread import unread_faults
from infinito.config import is_renamed
from infinito.errors import ResumeError
from infinito.run_folder.folder import STABLE, difference, find_run_folder, saved_values
from infinito.run_folder.pins import with_absolute_paths
from infinito.yaml_limits import refuse_large_yaml

LENGTHS = keys("trainer.epochs", "trainer.max_steps")
"""Keys that say how long to train; the shorter one rules."""


def effective_values(values: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return the values that a command means, with what it takes from an older run.

    Args:
        values: Plain values as composed from the command line.
        overrides: The command line's overrides.

    Raises:
        ResumeError: the command resumes a run with another configuration, or there is no run.
        CheckpointError: the configuration of the run cannot be read.
    """
    if values.get("resume") is not None:
        return _resumed_values(values, overrides)
    values = _with_one_length(values, typed_keys(overrides))
    if values.get("checkpoint") == "last":
        values = {**values, "checkpoint": str(_newest_checkpoint(values))}
    saved = _checkpoint_values(values)
    reading = find_reading(values, saved)
    typed = typed_keys(overrides)
    if saved is None or reading not in TAKEN:
        return dict(values)
    sections = set(TAKEN[reading]) - {key for key in typed if key == "data"}
    measures_phi = saved.get("objective", {}).get("name") == "language_phi"
    chosen = any(key.startswith("objective") for key in typed)
    if reading == "calibrate_phi" and measures_phi and not chosen:
        sections.add("objective")
    merged = {**values, **{section: saved[section] for section in sections}}
    merged = _with_keys(merged, values, {key for key in typed if "." in key})
    is_other = merged["data"].get("path") != saved["data"].get("path")
    if is_other and "revision" in merged["data"] and "data.revision" not in typed:
        merged["data"]["revision"] = None  # the saved one is of the data set of the run
    return merged


def command_faults(values: Mapping[str, Any], overrides: Sequence[str]) -> list[str]:
    """Return a fault for each key that a command sets and does not read.

    A key that the checkpoint or the resumed run fixes counts as well.
    """
    typed = typed_keys(overrides)
    if values.get("resume") is not None:
        resumed = saved_values(_resumed_folder(values, typed))
        return unread_faults(find_reading(resumed, None), typed - {"task"}, values, None)
    if _sweeps_tasks(values, overrides):
        return []
    saved = _checkpoint_values(values)
    return unread_faults(find_reading(values, saved), typed, values, saved)


def _resumed_values(values: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    typed = typed_keys(overrides) - {"resume", "dry_run"}
    folder = _resumed_folder(values, typed)
    stable = stable_checkpoint(str(values["resume"]))  # a folder named 7 or nan comes as a number
    saved = saved_values(folder)
    begun, values = with_absolute_paths(saved), with_absolute_paths(values)
    task = str(saved["task"])
    if renamed := set(filter(is_renamed, typed)):
        return _with_keys(saved, values, renamed)  # for `parse` to say their present names
    if not typed & set(ADDED_GROUPS):
        requested = _with_keys(begun, values, {find_section(key) for key in typed})
    elif task == "rl_scheduler":  # an experiment that continues a schedule names what it changes
        named = {find_section(key) for key in typed - set(ADDED_GROUPS)}
        requested = _with_keys(begun, values, {"task", *CONTINUABLE, *named})
    else:
        requested = _with_keys(begun, values, set(values))
    changeable = SHOWS | PUSHES | {"resume", "dry_run"}
    if task == "rl_scheduler":
        changeable |= CONTINUABLE
    if stable is not None:
        changeable |= LENGTHS
    differences = [
        each
        for each in difference(begun, requested)
        if each[0] not in changeable and not _is_begun_revision(folder, each[0], each[2])
    ]
    if differences:
        raise ResumeError(_difference_message(folder, task, differences))
    continued = CONTINUABLE if task == "rl_scheduler" else frozenset()
    kept = _with_keys(saved, requested, ((SHOWS | PUSHES) & typed) | continued)
    if stable is not None:
        kept["trainer"] |= _choose_length(stable, requested["trainer"], typed)
    return {**kept, "resume": str(stable or folder), "dry_run": values.get("dry_run", False)}


def _is_begun_revision(folder: Path, key: str, requested: Any) -> bool:
    """Return whether a revision is what a run was begun with, which it recorded as a commit."""
    if key not in REVISIONS:
        return False
    path = folder / "overrides.yaml"
    refuse_large_yaml(path)
    begun: Any = OmegaConf.load(path) if path.is_file() else []
    return requested is None or f"{key}={requested}" in begun


def _choose_length(stable: Path, requested: Mapping[str, Any], typed: Set[str]) -> dict[str, Any]:
    """Return the keys of `trainer` that say how long a run from a stable part is."""
    if not LENGTHS & typed:
        raise ResumeError(
            f"`resume`={stable} begins a new run, from where the rate of another was constant, "
            "that is longer: say how long, e.g. `trainer.max_steps=10000`. "
            f"`resume={stable.parents[1]}` goes on with the run itself."
        )
    return {
        key: requested[key] if f"trainer.{key}" in typed else None
        for key in ("epochs", "max_steps")
    }


def _difference_message(folder: Path, task: str, differences: list[tuple[str, Any, Any]]) -> str:
    lines = [
        f"  {key}: the run has {old}, the command asks for {new}" for key, old, new in differences
    ]
    instead = f", or start a new run from its weights with `checkpoint={folder}`"
    stable = folder / "checkpoints" / STABLE
    if stable.is_file() and {key for key, *_ in differences} <= LENGTHS:
        instead = (
            ", or train longer in a new run that begins where the rate was still constant: "
            f"`resume={stable}` with the new length"
        )
    return (
        f"`resume`={folder} goes on with exactly the run's configuration, "
        "but these keys differ:\n"
        + "\n".join(lines)
        + f"\nLeave them out (`resume={folder}` alone suffices)"
        + instead * (task != "rl_scheduler")
        + "."
    )


def _with_one_length(values: Mapping[str, Any], typed: Set[str]) -> Mapping[str, Any]:
    """Let minutes that a person types replace a length that nobody typed."""
    if "trainer.minutes" not in typed or values["trainer"].get("minutes") is None:
        return values
    untyped = {key.rpartition(".")[2]: None for key in LENGTHS - typed}
    return {**values, "trainer": {**values["trainer"], **untyped}}


def _sweeps_tasks(values: Mapping[str, Any], overrides: Sequence[str]) -> bool:
    """Return whether a sweep varies the task, so that no one task's row of the table applies."""
    given = [text.partition("=")[2] for text in overrides if text.startswith("task=")]
    return bool(given) and given[-1] != values.get("task")


def _resumed_folder(values: Mapping[str, Any], typed: Set[str]) -> Path:
    runs = Path(str(values["runs_dir"]))
    is_named = bool(typed & {"name", *ADDED_GROUPS})
    return resumable(str(values["resume"]), runs / str(values["name"]) if is_named else runs)


def stable_checkpoint(resume: str | None) -> Path | None:
    """Return the checkpoint that `resume` names, where a new run is to begin from it."""
    return Path(resume) if resume is not None and Path(resume).name == STABLE else None


def _newest_checkpoint(values: Mapping[str, Any]) -> Path:
    return _newest(Path(str(values["runs_dir"])), "**/checkpoints/best.ckpt", "checkpoint")


def _checkpoint_values(values: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the configuration of the run that `checkpoint` belongs to, where there is one."""
    checkpoint = values.get("checkpoint")
    if checkpoint is None:
        return None
    place = _newest_checkpoint(values) if checkpoint == "last" else Path(str(checkpoint))
    folder = find_run_folder(place)
    return saved_values(folder) if folder is not None else None


def resumable(resume: str, runs: Path) -> Path:
    """Return the folder of the run to go on with; `last` is the newest below the folder `runs`.

    For a checkpoint it is the folder of the checkpoint's run.

    Raises:
        ResumeError: there is none, or it holds no checkpoint.
    """
    if resume == "last":
        newest = _newest(runs, "**/checkpoints/last.ckpt", "resume")
        return newest.parent if is_pipeline(newest.parent) else newest
    folder = Path(resume)
    if folder.name == STABLE and not folder.is_file():
        raise ResumeError(
            f"`resume`={resume}: there is no such file. A run of `optimizer.schedule=wsd` writes "
            "it when its rate begins to fall."
        )
    folder = folder.parent.parent if folder.suffix == ".ckpt" else folder
    if not folder.is_dir():
        raise ResumeError(f"`resume`={resume}: there is no such run folder")
    if not (folder / "checkpoints/last.ckpt").is_file() and not is_pipeline(folder):
        raise ResumeError(
            f"`resume`={resume}: {folder} holds no checkpoints/last.ckpt, so nothing was saved "
            "to go on from. Start again without `resume`."
        )
    return folder


def is_pipeline(folder: Path) -> bool:
    """Return whether a folder is that of `task=pipeline`, whose stages have checkpoints."""
    return (folder / "config.yaml").is_file() and saved_values(folder)["task"] == "pipeline"


def _newest(root: Path, pattern: str, key: str) -> Path:
    files = list(root.glob(pattern))
    if not files:
        raise ResumeError(
            f"`{key}=last`: no run under {root} has a checkpoint. Name its folder, "
            f"`{key}=<run folder>`, or leave `{key}` out to start anew."
        )
    return max(files, key=lambda file: file.stat().st_mtime).parent.parent


def typed_keys(overrides: Sequence[str]) -> set[str]:
    """Return the keys and groups that overrides set, without Hydra's own."""
    keys = {override.lstrip("+~").partition("=")[0] for override in overrides}
    return {key for key in keys if not key.startswith("hydra")}


def _with_keys(
    base: Mapping[str, Any], values: Mapping[str, Any], keys: Set[str]
) -> dict[str, Any]:
    """`base` with the values of the dotted `keys` taken from `values`."""
    merged = OmegaConf.create(dict(base))
    source = OmegaConf.create(dict(values))
    for key in keys:
        OmegaConf.update(merged, key, OmegaConf.select(source, key), force_add=True)
    return OmegaConf.to_container(merged)  # type: ignore[return-value]
