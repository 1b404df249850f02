"""Trials in TensorBoard's HPARAMS tab, one session each, written while the sweep runs.

Torch's `SummaryWriter.add_hparams` is not used: it imports torch into a process that may only
launch trials on other machines, adds a second, empty run beside each trial, and cannot name a row.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from infinito.search.trials import Trial
from infinito.sweeps.record.tables import name_value_columns

TENSORBOARD = "tensorboard"
"""In the folder of a sweep."""


class TrialBoard:
    """Writes each trial that has finished, once.

    Args:
        folder: The sweep's; sessions lie in its `tensorboard/`.
        objectives: Scores of a trial.
    """

    def __init__(self, folder: Path, objectives: int) -> None:
        self.folder = folder
        self.columns = name_value_columns(objectives)

    def show(self, trials: Sequence[Trial]) -> None:
        """Write the trials that are not there yet, but those that keep a board of their own."""
        for trial in trials:
            session = self.folder / TENSORBOARD / str(trial.number)
            if trial.state == "finished" and not session.exists() and not self._has_own(trial):
                self._write(session, trial)

    def _has_own(self, trial: Trial) -> bool:
        """Tell whether a trial, such as a `task=train`, appears in HPARAMS by itself."""
        own = self.folder.glob(f"{trial.number}*/*.tfevents.*")
        return any(path.parent.name.partition(".")[0] == str(trial.number) for path in own)

    def _write(self, session: Path, trial: Trial) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.plugins.hparams import summary_v2
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        params = {
            name: value if isinstance(value, bool | int | float | str) else str(value)
            for name, value in trial.params.items()
        }
        scores = [
            Summary.Value(tag=column, simple_value=value)
            for column, value in zip(self.columns, trial.values or (), strict=True)
        ]
        # the row's key: the sweep distinguishes trials of equal number or of equal parameters
        row = "/".join((*self.folder.resolve().parts[-2:], str(trial.number)))
        writer = EventFileWriter(str(session))
        for written in (
            summary_v2.hparams_config_pb(
                [summary_v2.HParam(name) for name in params],
                [summary_v2.Metric(column) for column in self.columns],
            ),
            summary_v2.hparams_pb(params, trial_id=row),
            Summary(value=scores),
        ):
            writer.add_event(Event(wall_time=time.time(), step=0, summary=written))
        writer.close()
