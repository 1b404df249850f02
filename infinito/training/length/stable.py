"""Begins a longer run where the rate of another, of `optimizer.schedule=wsd`, was still constant.

What comes out is bit for bit the longer run itself, as both share their beginning.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from infinito.config import RunConf
from infinito.errors import ResumeError
from infinito.models.checkpoint_file import read_checkpoint, write_checkpoint
from infinito.run_folder.folder import STABLE_BEST, events_folder, saved_values
from infinito.run_folder.pins import KEY
from infinito.run_folder.series.metrics_file import FILE as METRICS
from infinito.run_folder.series.samples_file import FILE as SAMPLES
from infinito.training.length.planning import Length
from infinito.training.optimizer.rate_schedule import stable_steps


def stable_end(conf: RunConf, length: Length) -> int | None:
    """Return the optimizer steps before the rate falls; None where the schedule is not wsd."""
    optimizer = conf.optimizer
    if optimizer.schedule != "wsd":
        return None
    return stable_steps(optimizer.warmup_steps, length.steps, optimizer.decay_share)


def read_stable(stable: Path, folder: Path) -> dict[str, Any]:
    """Return a checkpoint of another run as one of the run in `folder`, which has its own length.

    Raises:
        CheckpointError: it cannot be read.
    """
    content = read_checkpoint(stable)
    if KEY in content:
        content[KEY] = {**content[KEY], "config": saved_values(folder)}
    return content


def check_longer(conf: RunConf, length: Length, done: int) -> None:
    """Check that the rate is constant for the `done` optimizer steps that are taken over.

    Raises:
        ResumeError: the run is too short.
    """
    end = stable_end(conf, length) or 0
    if end < done:
        raise ResumeError(
            f"the stable part that this run begins from has {done:,} steps, but the rate of a run "
            f"of {length.steps:,} steps falls from step {end:,} on. Train longer, e.g. "
            f"`trainer.max_steps={2 * done}`, or from the weights alone, "
            "`checkpoint=<run>/checkpoints/stable.ckpt`."
        )


def take_over(stable: Path, content: dict[str, Any], folder: Path) -> None:
    """Write checkpoints and curves of the shared beginning into the folder of the new run.

    Args:
        stable: The checkpoint of the older run.
        content: What `read_stable` made of it.
        folder: The new run's.
    """
    write_checkpoint(content, folder / "checkpoints/last.ckpt")
    if (best := stable.with_name(STABLE_BEST)).is_file():
        write_checkpoint(read_stable(best, folder), folder / "checkpoints/best.ckpt")
    older = stable.parent.parent
    for events in events_folder(older).glob("events.*"):
        shutil.copy(events, folder)
    for name in (METRICS, SAMPLES):
        if (older / name).is_file():
            shutil.copy(older / name, folder)
