"""Reads the folder of a run: what its page is made of."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from infinito.errors import CheckpointError
from infinito.run_folder.folder import saved_values
from infinito.run_folder.series.event_files import Events, read_events
from infinito.run_folder.series.metrics_file import Columns, read_metrics
from infinito.run_folder.series.samples_file import Sample, read_samples
from infinito.yaml_limits import load_yaml

RESULTS = {
    "dpo": "training_report.json",
    "evaluate": "evaluation.json",
    "lm_eval": "lm_eval.json",
    "analyze": "attention.json",
    "score_pairs": "pair_scores.json",
    "calibrate_phi": "calibration.json",
    "reproducibility": "reproducibility.json",
    "report": "report.json",
}
"""The file that a task leaves at its end, where it is not summary.json."""

HEAT_MAPS = "attention.png"


@dataclass(frozen=True)
class RunFiles:
    """A run's folder. What costs time to read is read when it is first used."""

    folder: Path
    values: dict[str, Any]
    """The configuration."""
    results: dict[str, Any]
    """What the task wrote at its end; empty before."""

    @property
    def task(self) -> str:
        """The task of the run."""
        return str(self.values["task"])

    @cached_property
    def columns(self) -> Columns:
        """Figures by column, from TensorBoard's files where there is no metrics.csv."""
        return read_metrics(self.folder) or self._events.columns

    @cached_property
    def samples(self) -> list[Sample]:
        """What the model wrote at its validations."""
        return read_samples(self.folder) or self._old_events.samples

    @cached_property
    def heat_maps(self) -> bytes | None:
        """A PNG file of attention."""
        path = self.folder / HEAT_MAPS
        return path.read_bytes() if path.is_file() else self._old_events.heat_maps

    @cached_property
    def overrides(self) -> list[str]:
        """What was typed."""
        path = self.folder / "overrides.yaml"
        return [str(each) for each in load_yaml(path)] if path.is_file() else []

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """Versions, machine, text."""
        return read_json(self.folder / "provenance.json") or self.results.get("provenance", {})

    @property
    def _old_events(self) -> Events:
        """TensorBoard's files of a run without metrics.csv; other runs had nothing to write."""
        return Events() if read_metrics(self.folder) else self._events

    @cached_property
    def _events(self) -> Events:
        return read_events(self.folder)


def read_run(folder: Path) -> RunFiles:
    """Return the files of a run.

    Raises:
        CheckpointError: the folder is no run's, or a file of it cannot be read.
    """
    values = saved_values(folder)
    name = RESULTS.get(str(values.get("task")), "summary.json")
    return RunFiles(folder, values, read_json(folder / name))


def read_json(path: Path) -> dict[str, Any]:
    """Return what a JSON file of a run holds; nothing where there is none.

    Raises:
        CheckpointError: it holds something other than names and values.
    """
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from None
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} cannot be read: expected names and values")
    return values
