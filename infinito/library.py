"""infinito in a script or a notebook: settings, runs and trained models without a command line.

What needs no run lives where the package has it and is named in `infinito` as well: attention, the
model, Φ, preference losses and the search. This page adds what the command line does: overrides
become settings, settings become a run in a folder of its own, and a run folder becomes a model.

    >>> import infinito
    >>> infinito.compose("+experiment=debug", "attention=l1").attention.metric
    'l1'
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infinito.cli import composition
from infinito.cli.command_line import refuse_other_encodings, tidy_override
from infinito.cli.continuation import stable_checkpoint
from infinito.config import RunConf
from infinito.errors import ConfigError
from infinito.paths import conf_dir
from infinito.run import Score, execute
from infinito.run_folder.folder import folder_beside, name_new_folder

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from infinito.models.trained import Trained
    from infinito.objectives.phi import PhiComponents


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, its settings and its results."""

    folder: Path
    settings: RunConf
    score: Score = None
    """What a sweep would minimize: a figure, a list where `score` names several, None for a task
    without one."""

    @property
    def summary(self) -> dict[str, Any]:
        """The results by name, as in `summary.json`; empty for a task that writes none."""
        path = self.folder / "summary.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    @property
    def metrics(self) -> list[dict[str, float | None]]:
        """The logged figures, a row for each logged step; `pandas.DataFrame(run.metrics)` takes it.

        Raises:
            ConfigError: the task logs none.
        """
        path = self.folder / METRICS
        if not path.is_file():
            raise ConfigError(
                f"{self.folder} has no {METRICS}: `task={self.settings.task}` logs no figures"
            )
        with path.open(newline="", encoding="utf-8") as file:
            return [
                {name: float(value) if value else None for name, value in row.items()}
                for row in csv.DictReader(file)
            ]

    def load(self) -> Trained:
        """Return the model that this run trained; see `load`."""
        return load(self.folder)


METRICS = "metrics.csv"
"""The file of a run folder that holds the logged figures."""


def compose(*overrides: str) -> RunConf:
    """Return the settings that the command line would run with these overrides.

    Raises:
        ConfigError: names every fault.
    """
    return composition.check(_tidied(overrides), conf_dir())


def train(*overrides: str) -> Run:
    """Run what these overrides say in this process, as `infinito <overrides>` would.

    The task is `train` unless the overrides or an experiment name another: a preference tuning
    (`+experiment=dpo`), a schedule, an evaluation. Two settings hold for the whole process
    afterwards, as they do for a command: `trainer.threads`, and numbers below 1.2e-38 count as 0.

    Args:
        overrides: As on the command line, one string each: `"+experiment=debug"`, `"seed=1"`.

    Raises:
        ConfigError: a fault in the overrides; or several processes, which start the command again.
        InfinitoError: anything else that the user can mend; what was saved before stays.
    """
    typed = _tidied(overrides)
    conf = composition.check(typed, conf_dir())
    if conf.trainer.processes > 1:
        raise ConfigError(
            f"`trainer.devices`={conf.trainer.devices} × `trainer.nodes`={conf.trainer.nodes} "
            "starts the program once for each process, and a script would run again in each. "
            "Train with several processes from the command line, or leave out `trainer=ddp`"
        )
    folder = _choose_folder(conf)
    return Run(folder, conf, execute(conf, folder, typed))


def load(run: str | Path) -> Trained:
    """Return a trained model with its tokenizer, in evaluation mode on the CPU.

    Args:
        run: A run folder, a checkpoint file or a Hugging Face folder.

    Returns:
        `model`, a transformers causal LM; `tokenizer`; `source`, the file it came from; `step`.

    Raises:
        CheckpointError: it is missing, damaged, or weights are NaN or infinite.
    """
    from infinito.models.trained import open_trained  # only where a model is wanted: 2 s

    return open_trained(str(run))


def measure_phi(model: PreTrainedModel, ids: Tensor) -> tuple[Tensor, PhiComponents]:
    """Return Φ of a causal LM's hidden states, before calibration, and its four components.

    Args:
        model: A DistanceLM or another transformers causal LM; its mode is left alone.
        ids: Token ids (batch, time), at least 8 tokens long.

    Returns:
        Φ in [0, 10] (batch,) and components in [0, 1], each (batch,); with gradient where torch
        records one.

    Raises:
        ConfigError: the text is too short, or the model's attention cannot be watched.
    """
    from infinito.models.observation.watching import observed
    from infinito.objectives.phi import phi

    with observed(model) as seen:
        model(ids)
    components = seen.components()
    return phi(components), components


def _tidied(overrides: Sequence[str]) -> list[str]:
    for each in overrides:
        if not isinstance(each, str):
            raise ConfigError(
                f"an override is a string such as 'seed=1', received {type(each).__name__}: "
                "give each as an argument of its own"
            )
    refuse_other_encodings(overrides)
    return [tidy_override(each, False) for each in overrides]


def _choose_folder(conf: RunConf) -> Path:
    """Return the folder that the command line would give this run."""
    if conf.resume is not None and stable_checkpoint(conf.resume) is None:
        return Path(conf.resume)
    beside = folder_beside(conf.task, conf.checkpoint, conf.split)
    return beside or name_new_folder(conf.runs_dir, conf.name)
