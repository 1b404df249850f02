"""Run folders: what they record, which one to go on with, and how a command builds on an older run.

<folder>/config.yaml overrides.yaml provenance.json run.log summary.json
<folder>/checkpoints/{best,last,stable,stable_best}.ckpt (the last two of wsd)
<folder>/model/ (Hugging Face)
<folder>/events.out.tfevents.* hparams.yaml (TensorBoard, which names a run after the folder)
"""

from __future__ import annotations

import itertools
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from infinito.config import translate_renamed
from infinito.errors import CheckpointError, ConfigError, ResumeError
from infinito.storage import written_whole
from infinito.yaml_limits import refuse_large_yaml

LOCK = "run.lock"
"""Lies in the folder of a run while a process trains there."""

STABLE = "stable.ckpt"
"""The checkpoint at the end of the constant rate of `optimizer.schedule=wsd`."""

STABLE_BEST = "stable_best.ckpt"
"""The best checkpoint until then."""

GROUPS = ("model", "attention", "data", "tokenizer", "optimizer", "trainer", "generation")
"""The groups of a configuration, each a section of its values."""


def saved_values(folder: Path) -> dict[str, Any]:
    """Return the configuration that a run folder records, earlier keys under present names.

    Raises:
        CheckpointError: it is missing or unreadable.
        ConfigError: it is too large for a configuration.
    """
    path = folder / "config.yaml"
    try:
        refuse_large_yaml(path)
        values = OmegaConf.to_container(OmegaConf.load(path))
    except FileNotFoundError:
        raise CheckpointError(f"{folder} is no run folder: it holds no config.yaml") from None
    except ConfigError:
        raise
    except Exception as error:
        raise CheckpointError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
    if not isinstance(values, dict) or not set(GROUPS) <= set(values):
        raise CheckpointError(f"{path} is not the configuration of a run")
    return translate_renamed({str(key): value for key, value in values.items()})


def find_run_folder(checkpoint: Path) -> Path | None:
    """Return the run folder that a checkpoint path names or lies in, or None."""
    for folder in (checkpoint, checkpoint.parent, checkpoint.parent.parent):
        if (folder / "config.yaml").is_file():
            return folder
    return None


def events_folder(run: Path) -> Path:
    """Return where a run's TensorBoard files lie; those of old runs have a folder of their own."""
    own = run / "tensorboard"
    return own if own.is_dir() else run


def name_new_folder(runs_dir: str, name: str) -> Path:
    """Return `<runs_dir>/<name>/<time>_<random>`, which no other run has; it is not made yet."""
    return Path(runs_dir, name, f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{secrets.token_hex(3)}")


def folder_beside(task: str, checkpoint: str | None, split: str) -> Path | None:
    """Return where a task that measures a trained model writes: in the folder of its run.

    Args:
        task: The task.
        checkpoint: What it measures.
        split: What it reads.

    Returns:
        `<run>/evaluation_<split>`, `<run>/attention_<split>` or `<run>/lm_eval`, numbered from the
        second on; None for another task, a model of no run, or a run folder that cannot be written.
    """
    names = {
        "evaluate": f"evaluation_{split}",
        "analyze": f"attention_{split}",
        "lm_eval": "lm_eval",
    }
    run = None if checkpoint is None else find_run_folder(Path(checkpoint))
    if task not in names or run is None or not os.access(run, os.W_OK):
        return None
    name = names[task]
    further = (f"{name}_{number}" for number in itertools.count(2))
    names_in_turn = itertools.chain([name], further)
    return next(run / each for each in names_in_turn if not (run / each).exists())


def difference(
    old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Dotted keys whose values differ, with both values (None where absent)."""
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from difference(before, after, f"{prefix}{key}.")
        elif before != after:
            yield f"{prefix}{key}", before, after


def record_config(folder: Path, values: Mapping[str, Any], overrides: Sequence[str]) -> None:
    """Claims a new run folder and writes its configuration.

    Raises:
        ConfigError: the folder already is another run's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = OmegaConf.to_yaml(OmegaConf.create(dict(values)))
    try:
        written_new(folder / "config.yaml", text.encode())
    except FileExistsError:
        raise ConfigError(
            f"{folder} already holds a run: choose another `hydra.run.dir`, "
            f"or go on with that run by `resume={folder}`"
        ) from None
    with written_whole(folder / "overrides.yaml") as file:
        file.write(OmegaConf.to_yaml(OmegaConf.create(list(overrides))).encode())


def written_new(path: Path, content: bytes) -> None:
    """Write a file whole and synced, unless one of that name is there.

    Raises:
        FileExistsError: it is; it stays as it was.
    """
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(aside, path)  # unlike a renaming, refused where the name is taken
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def in_use(folder: Path) -> Iterator[None]:
    """Hold a run folder for this process; the system gives it free when the process dies.

    Raises:
        ResumeError: another process holds it.
    """
    from filelock import FileLock, Timeout  # here: `--help` and faults of a command do without it

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ResumeError(
            f"{folder} is in use: another process trains in it. Wait for its end or stop it, "
            f"then go on with `resume={folder}`."
        ) from None
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # held still, so that nobody takes a lock without a name
        lock.release()
