"""Settings of a run as TensorBoard's HPARAMS tab shows them, and the tag of its score there."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from infinito.cli.read_by import READ_BY, keys
from infinito.config import RunConf
from infinito.run_folder.records import flatten

SILENT = keys("task", "runs_dir", "score", "resume", "dry_run", "trainer.progress_bar", "logger")
"""Keys that no run is compared by."""


def list_hyperparameters(conf: RunConf) -> dict[str, Any]:
    """Return the settings that the task reads and that have a value, by dotted key."""
    read = READ_BY[conf.task] - SILENT
    return {
        key: value
        for key, value in flatten(asdict(conf)).items()
        if key in read and value != "None"
    }


def name_score(conf: RunConf) -> str:
    """Return the tag of the run's score; it stands below the curves, which begin with `train/`."""
    return f"val_score/{conf.score}"
