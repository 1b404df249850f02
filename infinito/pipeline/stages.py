"""The stages of a pipeline: which commands they are, and running one to its end or its stop."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from infinito.config import RunConf
from infinito.errors import InfinitoError
from infinito.run_folder.commands import format_text
from infinito.run_folder.records import write_json

FINISHED = "summary.json"
"""A run writes it last."""


@dataclass(frozen=True)
class Stage:
    """One training of a pipeline."""

    name: str
    experiment: str
    folder: Path

    @property
    def is_finished(self) -> bool:
        """Whether its run has ended by itself."""
        return (self.folder / FINISHED).is_file()


@dataclass
class Cost:
    """What a stage took so far, all its processes together."""

    minutes: float = 0.0
    """Wall clock."""
    cpu_minutes: float = 0.0
    """Time of all its CPUs, which other programs on the machine do not lengthen."""
    peak_mib: float = 0.0
    """Most resident memory of one process."""


def run_stage(stage: Stage, overrides: Sequence[str]) -> None:
    """Run a stage to its end, from where it stopped if it had begun.

    A stage that stopped before its first checkpoint begins anew.

    Raises:
        InfinitoError: it failed, or was stopped; what it had saved stays.
    """
    if stage.is_finished:
        return
    if (stage.folder / "checkpoints/last.ckpt").is_file():
        arguments = [f"resume={format_text(stage.folder)}"]
    else:
        shutil.rmtree(stage.folder, ignore_errors=True)
        folder = f"hydra.run.dir={format_text(stage.folder.absolute())}"
        arguments = [f"+experiment={stage.experiment}", *overrides, folder]
    code = _run_child(stage, arguments)
    if code or not stage.is_finished:
        raise InfinitoError(
            f"the stage {stage.name} stopped (exit code {code}). What it saved is kept: "
            f"`resume={stage.folder.parent}` goes on with it"
        )


def read_cost(stage: Stage) -> Cost:
    """Return what a stage took so far."""
    path = cost_file(stage)
    return Cost(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else Cost()


def cost_file(stage: Stage) -> Path:
    """Return where the cost of a stage is written: beside its folder, which may begin anew."""
    return stage.folder.with_name(f"{stage.name}_cost.json")


def list_inherited(conf: RunConf) -> list[str]:
    """Return overrides by which a stage computes as the pipeline's command says."""
    trainer = conf.trainer
    found = [
        f"seed={conf.seed}",
        f"deterministic={str(conf.deterministic).lower()}",
        f"trainer.accelerator={trainer.accelerator}",
        f"trainer.progress_bar={str(trainer.progress_bar).lower()}",
    ]
    if trainer.threads is not None:
        found.append(f"trainer.threads={trainer.threads}")
    if conf.data.cache_dir is not None:
        found.append(f"data.cache_dir={format_text(conf.data.cache_dir)}")
    return found


def list_own(conf: RunConf, stage: str) -> list[str]:
    """Return the overrides of `stage_overrides` that are meant for a stage."""
    prefix = f"{stage}:"
    return [each.removeprefix(prefix) for each in conf.stage_overrides if each.startswith(prefix)]


def _run_child(stage: Stage, arguments: Sequence[str]) -> int:
    reading, writing = os.pipe()
    began_s = time.monotonic()
    command = [sys.executable, "-m", "infinito.pipeline.child", str(reading), *arguments]
    process = subprocess.Popen(command, pass_fds=[reading])
    os.close(reading)
    try:
        while True:
            try:
                _, status, usage = os.wait4(process.pid, 0)
                break
            except KeyboardInterrupt:  # the child has the signal too, and saves
                continue
    finally:
        os.close(writing)
    process.returncode = os.waitstatus_to_exitcode(status)
    kib = usage.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    before = read_cost(stage)
    cost = Cost(
        before.minutes + (time.monotonic() - began_s) / 60,
        before.cpu_minutes + (usage.ru_utime + usage.ru_stime) / 60,
        max(before.peak_mib, kib / 1024),
    )
    write_json(cost_file(stage), asdict(cost))
    return process.returncode
