"""Trials in TensorBoard's HPARAMS tab, one session each, written while the sweep runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from infinito.search.trials import Trial
from infinito.sweeps.record.export import value_columns


class TrialBoard:
    """Writes each trial that has finished once.

    Args:
        folder: Of the sweep; sessions lie in its `tensorboard/`.
        objectives: Scores of a trial.
    """

    def __init__(self, folder: Path, objectives: int) -> None:
        self.folder = folder / "tensorboard"
        self.columns = value_columns(objectives)

    def show(self, trials: Sequence[Trial]) -> None:
        """Writes those that are not there yet."""
        for trial in trials:
            session = self.folder / str(trial.number)
            if trial.state == "finished" and not session.exists():
                self._write(session, trial)

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
        writer = EventFileWriter(str(session))
        for written in (
            summary_v2.hparams_config_pb(
                [summary_v2.HParam(name) for name in params],
                [summary_v2.Metric(column) for column in self.columns],
            ),
            summary_v2.hparams_pb(params, trial_id=str(trial.number)),
            Summary(value=scores),
        ):
            writer.add_event(Event(wall_time=time.time(), step=0, summary=written))
        writer.close()
