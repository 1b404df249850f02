"""What a run was begun with, as its checkpoints carry it, and whether that still holds.

A run goes on bit for bit only with the text, the configuration and the threads that it began with.
Each checkpoint carries a record of them; a resumed run, or a task that reads the run's text again,
compares the record with what it finds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infinito.errors import CheckpointError, ResumeError
from infinito.hub import names_a_folder
from infinito.run_folder.folder import difference, saved_values

KEY = "run"
"""Where a checkpoint keeps the record."""

PATHS = (
    ("data", "path"),
    ("data", "held_out_path"),
    ("data", "text_path"),
    ("data", "cache_dir"),
    ("tokenizer", "path"),
    ("model", "path"),
    ("checkpoint",),
    ("dpo", "reference_checkpoint"),
    ("rl", "base_checkpoint"),
    ("rl", "policy_zip"),
)
"""Keys whose values may be paths."""

SHAPES_BATCHES = ("block_size", "batch_size", "eval_batch_size", "workers", "cache_dir")
"""Keys of `data` that change how a text is cut and fetched, not which text it is."""

SHOWN = 8
"""Differences that an error lists at most."""


@dataclass(frozen=True)
class Input:
    """Something that a run read."""

    name: str
    """What it is, for people."""
    place: str
    """Where it was read from."""
    fingerprint: str
    """Hex SHA-256 of what was read."""
    files: dict[str, str] = field(default_factory=dict)
    """The same of each file in it, by path; empty where it is not files, or too many."""


def new_record(folder: Path) -> dict[str, Any]:
    """Return the record of a run that begins in a folder with its configuration.

    Plain values: "config", "inputs" by name, and "threads", the CPU threads of torch.
    """
    return {"config": saved_values(folder), "inputs": {}, "threads": None}


def check_config(
    record: Mapping[str, Any], folder: Path, changeable: Set[str] = frozenset()
) -> None:
    """Check that config.yaml is what the run began with, but for the keys that may change.

    Raises:
        ResumeError: a value was changed, lists each.
    """
    changes = [
        each
        for each in difference(record["config"], saved_values(folder))
        if each[0] not in changeable
    ]
    if not changes:
        return
    lines = [f"  {key}: the run began with {old}, the file has {new}" for key, old, new in changes]
    more = f"\n  … and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    listed = "\n".join(lines[:SHOWN])
    raise ResumeError(
        f"{folder / 'config.yaml'} was changed since the run began:\n{listed}{more}\n"
        "Put these values back, or start a new run from its weights with "
        f"`checkpoint={folder}`."
    )


def check_inputs(
    record: Mapping[str, Any], found: Iterable[Input], way_out: str, error: type = ResumeError
) -> None:
    """Check that what is read now is what the run read when it began.

    Args:
        record: The run's.
        found: What is read now; inputs without a counterpart in the record are not compared.
        way_out: What to do about a difference.
        error: What to raise.

    Raises:
        ResumeError, CheckpointError: names each input that differs and where it was read.
    """
    changes = [
        f"  {now.name} ({now.place}): SHA-256 {before['fingerprint'][:12]} then, "
        f"{now.fingerprint[:12]} now{_describe_files(before.get('files', {}), now.files)}"
        for now in found
        if (before := record["inputs"].get(now.name)) and before["fingerprint"] != now.fingerprint
    ]
    if changes:
        listed = "\n".join(changes)
        raise error(f"what the run read has changed since it began:\n{listed}\n{way_out}")


def _describe_files(then: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Return which files have changed, where both sides know theirs."""
    if not then or not now:
        return ""
    kinds = {
        "changed": [path for path in then if path in now and now[path] != then[path]],
        "gone": [path for path in then if path not in now],
        "new": [path for path in now if path not in then],
    }
    lines = [f"\n    {kind}: {path}" for kind, paths in kinds.items() for path in paths]
    more = f"\n    … and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return "".join(lines[:SHOWN]) + more


def check_text(record: Mapping[str, Any] | None, data: Mapping[str, Any], found: Input) -> None:
    """Check a text that a task reads with a trained model, where it is the text of the run.

    Args:
        record: Of the run that trained the model; None where it recorded nothing.
        data: Values of the `data` section now.
        found: The text as it is read now.

    Raises:
        CheckpointError: it is no longer the text that the run read.
    """
    if record is None or not _is_same_text(record["config"]["data"], data):
        return
    way_out = (
        "Put the old text back. To measure the model on the new one, give it another name and "
        "say so: `data=text data.path=<file>`."
    )
    check_inputs(record, [found], way_out, CheckpointError)


def _is_same_text(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    first, second = (
        {key: value for key, value in each.items() if key not in SHAPES_BATCHES}
        for each in (old, new)
    )
    return json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)


def with_absolute_paths(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's values with the paths in them as seen from every folder.

    What could be a name on the hub stays as it is, unless something here has that name.

    Args:
        values: Plain values of a whole configuration.
    """
    changed: dict[str, Any] = json.loads(json.dumps(values))
    for *sections, key in PATHS:
        section = changed
        for name in sections:
            section = section.get(name) or {}
        value = section.get(key)
        if isinstance(value, str) and not value.startswith("~") and "://" not in value:
            is_text = (sections, section.get("name")) == (["data"], "text")
            is_local = is_text or key in {"cache_dir", "text_path"}
            if is_local or names_a_folder(value):
                section[key] = str(Path.cwd() / value)
    return changed
