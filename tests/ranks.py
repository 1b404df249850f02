"""Trainings on several processes of this machine, started as torchrun starts them."""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from infinito.config import RunConf

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["infinito.run", "infinito.tasks.train", "infinito.tasks.dpo", "torch.utils.tensorboard"]
)
"""Torch and Lightning are imported once, not once for every process."""

ENOUGH_S = 1500.0
"""Longest that a training of these tests may take, on a busy machine."""


class Ranks:
    """The processes of one training.

    Args:
        conf: What to run in each of them.
        folder: The run's.
        count: How many.
        settings: Attributes of modules to set before, by dotted name.
    """

    def __init__(
        self,
        conf: RunConf,
        folder: Path,
        count: int = 2,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.processes: list[ForkServerProcess] = [
            CONTEXT.Process(target=_run, args=(rank, port, conf, folder, settings or {}))
            for rank in range(count)
        ]
        for process in self.processes:
            process.start()

    def join(self, within_s: float = ENOUGH_S) -> list[int | None]:
        """Return the exit codes; raise AssertionError where a process is still there by then."""
        until_s = time.monotonic() + within_s
        for process in self.processes:
            process.join(max(0.0, until_s - time.monotonic()))
        hanging = [rank for rank, each in enumerate(self.processes) if each.is_alive()]
        for rank in hanging:
            self.processes[rank].kill()
        assert not hanging, f"processes {hanging} hang:\n{self.printed()}"
        return [each.exitcode for each in self.processes]

    def wait_for(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so, which must be while the training runs."""
        until_s = time.monotonic() + ENOUGH_S
        while not is_so():
            assert time.monotonic() < until_s
            assert all(each.is_alive() for each in self.processes), self.printed()
            time.sleep(0.02)

    def printed(self, rank: int | None = None) -> str:
        """Return what a process, or all, printed as errors."""
        ranks = range(len(self.processes)) if rank is None else (rank,)
        files = [self.folder.with_name(f"{self.folder.name}.{each}") for each in ranks]
        return "".join(file.read_text() for file in files if file.exists())


def _run(rank: int, port: int, conf: RunConf, folder: Path, settings: Mapping[str, Any]) -> None:
    import importlib

    from lightning.pytorch.utilities import rank_zero_only

    from infinito import run as program

    os.environ |= {
        "LOCAL_RANK": str(rank),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }
    rank_zero_only.rank = rank  # type: ignore[attr-defined]
    output = os.open(f"{folder}.{rank}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    for name, value in settings.items():
        module, _, attribute = name.rpartition(".")
        owner: Any = importlib.import_module(module)
        setattr(owner, attribute, value)
    try:
        program.execute(conf, folder)
    except Exception as error:
        sys.exit(program._reported(error, folder))
