"""Settings that a task does not read are refused where a person types them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from infinito.cli.command_line import ADDED_GROUPS
from infinito.cli.read_by import MODEL, TAKEN, find_section, readers, unread

INSTEAD = {
    ("rl_scheduler", "checkpoint"): (
        "name a language model to start from by `rl.base_checkpoint=<run>`"
    ),
    ("lm_eval", "lm_eval.batch_size"): (
        "the model has a memory, which reads one sequence at a time. Leave it out"
    ),
}
"""What does what a person may have meant, by command and key."""

TUNES = ("dpo ", "train a checkpoint ", "train adapters ")
"""Beginnings of the rows of tasks whose model is that of `checkpoint`."""


def unread_faults(
    reading: str, typed: Iterable[str], values: Mapping[str, Any], saved: Mapping[str, Any] | None
) -> list[str]:
    """Return a fault for each typed key or group that a command does not read.

    Args:
        reading: The row of `READ_BY` that the command has.
        typed: Keys and groups that the command line sets.
        values: The composed configuration.
        saved: The configuration of the run that `checkpoint` belongs to, where there is one.
    """
    faults = []
    for key in sorted(set(typed) - set(ADDED_GROUPS)):
        ignored = unread(reading, key, values)
        if not ignored and not _depends_on_memory(key, reading, saved):
            continue
        if _is_fixed(key, reading, values):
            faults.append(f"`{key}` is fixed by `checkpoint`={values['checkpoint']}: leave it out")
        else:
            mend = INSTEAD.get((reading, key)) or f"leave it out{_hint(ignored, reading)}"
            faults.append(f"`{key}` is not read by {_named(reading)}: {mend}")
    return faults


def _is_fixed(key: str, reading: str, values: Mapping[str, Any]) -> bool:
    if values.get("checkpoint") is None:
        return False
    sections = TAKEN.get(reading, ())
    section = find_section(key)
    of_model = any(each == section or each.startswith(f"{section}.") for each in MODEL)
    return section.partition(".")[0] in sections or (of_model and reading.startswith(TUNES))


def _depends_on_memory(key: str, reading: str, saved: Mapping[str, Any] | None) -> bool:
    """Return whether a memory, or the lack of one, keeps a command from reading a key."""
    if reading not in ("evaluate", "lm_eval") or saved is None:
        return False
    has_memory = saved["model"].get("memory", {}).get("name", "none") != "none"
    return key == ("lm_eval.batch_size" if has_memory else "model.memory.evaluation")


def _named(reading: str) -> str:
    task, _, rest = reading.partition(" ")
    return f"`task={task}`{f' {rest}' if rest else ''}"


def _hint(ignored: Iterable[str], task_here: str) -> str:
    tasks = sorted({task for key in ignored for task in readers(key)} - {task_here})
    if not tasks:
        return ""
    return f" (it is for {', '.join(f'`task={task}`' for task in tasks)})"
