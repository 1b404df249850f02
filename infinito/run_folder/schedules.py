"""Tells the runs of schedules from those of language models."""

from __future__ import annotations

from pathlib import Path

from infinito.run_folder.folder import find_run_folder, saved_values


def is_schedule(checkpoint: str | None) -> bool:
    """Return whether a path names a run of `task=rl_scheduler` or a checkpoint in one."""
    folder = find_run_folder(Path(str(checkpoint)))
    return folder is not None and saved_values(folder).get("task") == "rl_scheduler"
