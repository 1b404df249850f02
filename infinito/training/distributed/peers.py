"""The processes of one training: what they agree on, and how all of them end when one does.

Nothing that changes the training may be decided by one process alone, as collective operations
wait for all. Processes agree over a gloo group of their own, on CPUs, whatever the devices are.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from lightning import Callback, LightningModule, Trainer
from rich.console import Console
from rich.markup import escape
from torch import Tensor

from infinito import errors
from infinito.errors import InfinitoError, LostProcessError, ReportedElsewhere
from infinito.run_folder.commands import build_command

NOTICE_S = 3.0
"""How long a process whose communication failed waits to learn which process is lost."""
GRACE_S = 5.0
"""How long a process has to end by itself once another is lost; then it is ended."""
FAREWELL_BYTES = 4096
NEVER = timedelta(days=365)

_log = logging.getLogger(__name__)


class Farewell(NamedTuple):
    """The last message of a process."""

    error: str | None = None
    """Name of the class of the error that ended it; None where it ended as the others did."""
    message: str = ""


class Peers(Callback):
    """Joins the processes of a training, of which there may be one.

    Each process but the first watches the first, which watches all. A process that ends tells why;
    one that was killed closes its connections, which the system tells the others at once.

    Args:
        folder: The run's, for the command that resumes it.
        identity: Values by name that must be equal in all processes.
    """

    def __init__(self, folder: Path, identity: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.identity = dict(identity or {})
        self.rank, self.count = 0, 1
        self.error: InfinitoError | None = None
        self._group: Any = None
        self._trainer: Trainer | None = None
        self._farewells: dict[int, Farewell | None] = {}
        self._threads: list[threading.Thread] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Join the other processes and watch them.

        Raises:
            ConfigError: a process has another configuration, code or text.
        """
        if trainer.world_size == 1 or self._group is not None:
            return
        self._trainer = trainer
        self.rank, self.count = trainer.global_rank, trainer.world_size
        self._lost, self._gone = threading.Event(), threading.Event()
        self._group = dist.new_group(backend="gloo", timeout=NEVER)
        watched = range(1, self.count) if self.rank == 0 else (0,)
        self._threads = [
            threading.Thread(target=self._watch, args=(peer,), daemon=True) for peer in watched
        ]
        for thread in self._threads:
            thread.start()
        if self.identity:
            self._compare_identities()

    def agree(self, *values: int) -> list[int]:
        """Return the largest of each value over all processes, which all must call."""
        if self._group is None:
            return list(values)
        shared = torch.tensor(values, dtype=torch.int64)
        dist.all_reduce(shared, dist.ReduceOp.MAX, group=self._group)
        return shared.tolist()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Replace Lightning's exchange about SIGTERM, which it makes before every batch.

        Its handler of the signal broadcasts from wherever the process is, between or inside other
        collective operations, and so hangs or mixes up their values.
        """
        trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Wait until all have come to the end."""
        if self._group is None or self._gone.is_set():
            return
        self._say(Farewell())
        for thread in self._threads:
            thread.join()
        self._gone.set()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Find out whether another process is the cause, and tell the others of this one's end."""
        if self._group is None or self._gone.is_set():
            return
        if isinstance(exception, RuntimeError) and self._lost.wait(NOTICE_S):
            self.error = self._describe_loss()
        elif self.rank != 0:
            _log.info("process %d stopped", self.rank, exc_info=exception)
        cause = self.error or exception
        self._say(Farewell(type(cause).__name__, str(cause)))
        self._gone.set()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Raise the error that ended the training in the first process, and nothing in the others.

        Raises:
            LostProcessError: a process was killed.
            InfinitoError: what ended another process.
            ReportedElsewhere: the first process prints the error.
        """
        try:
            yield
        except Exception as exception:
            error = self.error or exception
            if self._group is None or self.rank == self._reporter:
                if error is exception:
                    raise
                raise error from exception
            raise ReportedElsewhere(getattr(error, "exit_code", 1)) from exception

    @property
    def _reporter(self) -> int:
        """The process that prints."""
        return 1 if self._farewells.get(0, Farewell()) is None else 0

    def _watch(self, peer: int) -> None:
        message = torch.zeros(FAREWELL_BYTES, dtype=torch.uint8)
        try:
            dist.irecv(message, src=peer, group=self._group).wait()  # type: ignore[union-attr]
            self._farewells[peer] = _decode(message)
        except RuntimeError:
            self._farewells[peer] = None
        farewell = self._farewells[peer]
        if farewell is not None and farewell.error is None:
            return
        self._lost.set()
        if not self._gone.wait(GRACE_S):
            self._end()

    def _end(self) -> None:
        """End this process, whose main thread waits for one that is gone."""
        error = self._describe_loss()
        if self.rank == self._reporter:
            _log.info("stopped: %s", error)
            Console(stderr=True, highlight=False, soft_wrap=True).print(
                f"[bold red]{error.heading}:[/] {escape(str(error))}"
            )
        self._say(Farewell(type(error).__name__, str(error)))
        os._exit(error.exit_code)

    def _describe_loss(self) -> InfinitoError:
        """Return the error that another process named, or one about a process that was killed."""
        found = dict(self._farewells)
        for peer, farewell in found.items():
            if farewell is not None and farewell.error is not None:
                return self._as_error(peer, farewell.error, farewell.message)
        lost = next((peer for peer, farewell in found.items() if farewell is None), 0)
        step = self._trainer.global_step if self._trainer is not None else 0
        return LostProcessError(
            f"process {lost} of {self.count} was killed or crashed after step {step}, so the "
            f"training stopped in all of them. {self._way_on()}"
        )

    def _as_error(self, peer: int, name: str, message: str) -> InfinitoError:
        kind = getattr(errors, name, None)
        if kind is None:
            return LostProcessError(
                f"process {peer} of {self.count} ended by {name}: {message}\n{self._way_on()}"
            )
        error: InfinitoError = kind.__new__(kind)
        Exception.__init__(error, message)
        return error

    def _way_on(self) -> str:
        if (self.folder / "checkpoints/last.ckpt").is_file():
            return (
                "What was saved last is kept.\n"
                f"Go on with: {build_command({'resume': self.folder})}"
            )
        return "Nothing was saved yet: start the same command again."

    def _say(self, farewell: Farewell) -> None:
        message = _encode(farewell)
        for peer in range(1, self.count) if self.rank == 0 else (0,):
            with suppress(RuntimeError):  # it may be the one that is gone
                work = dist.isend(message, dst=peer, group=self._group)
                work.wait(timedelta(seconds=NOTICE_S))  # type: ignore[union-attr]

    def _compare_identities(self) -> None:
        found: list[Any] = [None] * self.count
        dist.all_gather_object(found, self.identity, group=self._group)
        refuse_differences(found)
        sees = [True] * self.count
        dist.all_gather_object(sees, is_visible(self.folder / "config.yaml"), group=self._group)
        if not all(sees):
            raise errors.ConfigError(
                f"process {sees.index(False)} does not see {self.folder}, which process 0 writes: "
                "give a `runs_dir` that all nodes share"
            )


def is_visible(path: Path, attempts: int = 20) -> bool:
    """Return whether a file is there; a network file system may show it seconds late."""
    for _ in range(attempts):
        if path.is_file():
            return True
        time.sleep(0.5)
    return False


def refuse_differences(identities: Sequence[Mapping[str, str]]) -> None:
    """Raise ConfigError unless all processes have the identity of the first."""
    faults = [
        f"process {rank} of {len(identities)} has another {name} than process 0: "
        f"{other.get(name)}, not {value}. Start all processes with the same code, command and files"
        for rank, other in enumerate(identities)
        for name, value in identities[0].items()
        if other.get(name) != value
    ]
    if faults:
        raise errors.ConfigError(faults)


def _encode(farewell: Farewell) -> Tensor:
    error, message = farewell
    text = json.dumps([error, message[: FAREWELL_BYTES // 8]]).encode()
    return torch.tensor(list(text.ljust(FAREWELL_BYTES)), dtype=torch.uint8)


def _decode(message: Tensor) -> Farewell:
    return Farewell(*json.loads(bytes(message.tolist())))
