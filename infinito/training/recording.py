"""What a training job does around its work: threads, the records of its folder, its log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from logging import Logger
from pathlib import Path

import torch
from lightning.pytorch.utilities import rank_zero_only

from infinito.config import RunConf
from infinito.device import choose_accelerator
from infinito.run_folder.console import logged_to
from infinito.run_folder.folder import record_config


def is_first_process() -> bool:
    """Whether this process writes and prints, of those of a data-parallel training."""
    return bool(getattr(rank_zero_only, "rank", 0) == 0)


def use_threads(conf: RunConf) -> None:
    """Gives torch as many CPU threads as the run asks for."""
    if conf.trainer.threads is not None:
        torch.set_num_threads(conf.trainer.threads)


@contextmanager
def recorded(conf: RunConf, folder: Path, overrides: Sequence[str]) -> Iterator[Logger]:
    """Claims the folder of a new run, and sends what is logged meanwhile to its run.log.

    Raises:
        ConfigError: the folder is another run's.
        DeviceError: the device asked for is not there.
    """
    if conf.resume is None and is_first_process():
        choose_accelerator(conf)
        record_config(folder, asdict(conf), overrides)
    with logged_to(folder / "run.log") as log:
        try:
            yield log
        except Exception:
            log.info("stopped", exc_info=True)
            raise
