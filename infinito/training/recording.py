"""What a training task does around its work: threads, the records of its folder, its log."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import asdict
from logging import Logger
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only

import infinito
from infinito.config import RunConf
from infinito.device import choose_accelerator
from infinito.run_folder.console import logged_to
from infinito.run_folder.folder import in_use, record_config
from infinito.run_folder.pins import (
    KEY,
    Input,
    check_config,
    check_inputs,
    new_record,
    with_absolute_paths,
)


def unwritten_record() -> dict[str, Any]:
    """Return the record of a process that writes none: the first may not have made the folder."""
    return {"config": {}, "inputs": {}, "threads": None}


def is_first_process() -> bool:
    """Return whether this process writes and prints, of those of a data-parallel training."""
    return bool(getattr(rank_zero_only, "rank", 0) == 0)


def wait_for_first_process() -> None:
    """Wait until the first process comes here as well, where several have trained together."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()


@contextmanager
def recorded(conf: RunConf, folder: Path, overrides: Sequence[str]) -> Iterator[Logger]:
    """Claim the folder of a run, and send what is logged meanwhile to its run.log.

    Raises:
        ConfigError: the folder of a new run is another run's.
        ResumeError: another process trains in the folder.
        DeviceError: the requested device is not there.
    """
    if not is_first_process():
        folder.mkdir(parents=True, exist_ok=True)
        with logged_to(folder / "run.log", shows_warnings=False) as log:
            yield log
        return
    choose_accelerator(conf)
    with in_use(folder):
        if conf.resume is None:
            record_config(folder, with_absolute_paths(asdict(conf)), overrides)
        with logged_to(folder / "run.log") as log:
            try:
                yield log
            except Exception:
                log.info("stopped", exc_info=True)
                raise


class RunRecord(Callback):
    """Writes into every checkpoint what the run was begun with.

    Args:
        folder: The run's.
        last: The checkpoint that a resumed run goes on from; its record is kept.
        log: Where to say what cannot be compared.
        changeable: Keys that may differ from what the run began with.

    Raises:
        ResumeError: config.yaml is not what the run began with.
    """

    def __init__(
        self,
        folder: Path,
        last: dict[str, Any] | None,
        log: Logger,
        changeable: Set[str] = frozenset(),
    ) -> None:
        self.folder = folder
        kept = None if last is None else last.get(KEY)
        self.is_new = kept is None
        self.values = kept or (new_record(folder) if is_first_process() else unwritten_record())
        if not self.is_new:
            check_config(self.values, folder, changeable)
        elif last is not None:
            log.warning(
                "%s was begun before runs recorded what they read, so whether its text and "
                "configuration have changed since cannot be checked. From here on it can.", folder
            )  # fmt: skip

    def use_threads(self, conf: RunConf, log: Logger) -> None:
        """Give torch the threads that the run began with: others give other bits.

        In a new run, the processes of a machine share its cores.
        """
        if self.is_new:
            if conf.trainer.threads is None and "OMP_NUM_THREADS" not in os.environ:
                torch.set_num_threads(max(1, torch.get_num_threads() // conf.trainer.devices))
            self.values["threads"] = torch.get_num_threads()
        threads = self.values["threads"]
        if conf.trainer.threads is None and threads != torch.get_num_threads():
            log.warning(
                "the run began with %d CPU threads, so it goes on with %d, not with the %d of "
                "this process", threads, threads, torch.get_num_threads(),
            )  # fmt: skip
            torch.set_num_threads(threads)

    def pin(self, inputs: Iterable[Input]) -> None:
        """Record what was read; compare it where the run has a record.

        Raises:
            ResumeError: names what has changed.
        """
        if self.is_new:
            self.values["inputs"] |= {each.name: asdict(each) for each in inputs}
            return
        way_out = (
            "Put it back, or start a new run from the weights of this one with "
            f"`checkpoint={self.folder}`."
        )
        check_inputs(self.values, inputs, way_out)

    def identity(self, conf: RunConf) -> dict[str, str]:
        """Return what must be equal in all processes of a training: code, configuration, inputs."""
        inputs = self.values["inputs"].items()
        return {
            "code": _hash_of_code(),
            "configuration": hashlib.sha256(repr(conf).encode()).hexdigest()[:12],
            **{name: str(each["fingerprint"])[:12] for name, each in inputs},
        }

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the record."""
        checkpoint[KEY] = self.values


def _hash_of_code() -> str:
    """Return a hash of the package's modules as they lie on the disk, 12 hex digits."""
    digest = hashlib.sha256()
    for path in sorted(Path(infinito.__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
