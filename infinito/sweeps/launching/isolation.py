"""A child process that runs trials one after the other, and is killed and replaced when it hangs.

It lives while its trials go well, so they share imports, data and tokenizers. It is a process group
of its own: killed at a trial's limit, it takes the processes that the trial started with it. It
ends itself, with them, when its parent dies. It is a plain subprocess, so it also starts inside
joblib's workers.

Libraries for this do less. Pebble 5.2 kills its worker alone: what the trial started lives
on, and after a SIGKILL of the parent the worker does too, as long as its call runs. Loky has no
time limit for a call.
"""

from __future__ import annotations

import atexit
import os
import pickle
import signal
import subprocess
import sys
import threading
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from multiprocessing.pool import RemoteTraceback  # type: ignore[attr-defined]
from typing import TYPE_CHECKING, Any, Protocol

import cloudpickle
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import env_override, setup_globals
from omegaconf import DictConfig
from omegaconf.basecontainer import BaseContainer

if TYPE_CHECKING:
    from infinito.sweeps.launching.trial import TrialTask

GRACE_S = 5.0
"""Seconds past its limit that a trial has to stop by itself before its process is killed."""

START_S = 600.0
"""Seconds that a process has to import what the trial needs, which is not the trial's own time."""


class Task(Protocol):
    """What a child process can run: it is pickled with its settings."""

    def run(self, config: DictConfig, /) -> Any:
        """Run with the trial's configuration."""


class Child:
    """A child process that runs one trial at a time."""

    def __init__(self) -> None:
        self._pipe, theirs = Pipe()
        alive, self._alive = os.pipe()  # ends when this process does
        handles = (theirs.fileno(), alive)
        path = os.pathsep.join(entry for entry in sys.path if entry)
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, *map(str, handles)],
            pass_fds=handles,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        theirs.close()
        os.close(alive)
        atexit.register(self.kill)

    @property
    def is_alive(self) -> bool:
        """Whether the process is running and can take another trial."""
        return self._process.poll() is None

    def call(self, task: Task, config: DictConfig, whole: Any, limit_s: float | None) -> Any:
        """Run a trial and return what the task returned.

        Args:
            task: Its `run` is called.
            config: The trial's configuration.
            whole: The same with Hydra's node.
            limit_s: Seconds that it may take; None for no limit.

        Raises:
            TrialFailed: It raised, its process ended, or it was killed at its limit.
        """
        from infinito.sweeps.launching.trial_faults import TrialFailed, describe_limit

        try:
            sent = (BaseContainer._resolvers, os.getcwd(), task, config, whole)
            self._pipe.send_bytes(cloudpickle.dumps(sent))
            if not self._pipe.poll(None if limit_s is None else START_S):
                raise TrialFailed(f"the trial's process did not start within {START_S:g} s")
            answer = self._pipe.recv()
            if answer is None:  # the trial starts; a fault before that is the answer already
                if not self._pipe.poll(None if limit_s is None else limit_s + GRACE_S):
                    raise TrialFailed(
                        f"{describe_limit(limit_s or 0)}; it did not answer and was killed"
                    )
                answer = self._pipe.recv()
            fault, returned = answer
        except (EOFError, ConnectionError):
            code = self._process.wait()
            self.kill()
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            raise TrialFailed(f"the trial's process ended ({how})") from None
        except BaseException:
            self.kill()
            raise
        if fault is not None:
            raise TrialFailed(fault) from RemoteTraceback(returned)
        return returned

    def kill(self) -> None:
        """Kill the process and those that it has started."""
        atexit.unregister(self.kill)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._pipe.close()
        with suppress(OSError):
            os.close(self._alive)


_child: Child | None = None


def run_in_child(task: TrialTask, config: DictConfig, whole: Any, limit_s: float | None) -> Any:
    """Return what the task returns for `config`, run in the child of this process.

    Raises:
        TrialFailed: The trial failed, or its process did.
    """
    global _child
    if _child is None or not _child.is_alive:
        _child = Child()
    return _child.call(task, config, whole, limit_s)


def _serve(handle: int, alive: int) -> None:
    from infinito.sweeps.launching.trial_faults import TrialTimeout, describe_fault

    threading.Thread(target=_end_with_parent, args=(alive,), daemon=True).start()
    setup_globals()
    pipe = Connection(handle)
    while True:
        try:
            received = pipe.recv_bytes()
        except EOFError:
            return
        try:
            resolvers, place, task, config, whole = pickle.loads(received)
            BaseContainer._resolvers.update(resolvers)
            os.chdir(place)
            HydraConfig.instance().cfg = whole
            pipe.send(None)  # the trial starts: its parent measures the limit from here
            with env_override(whole.hydra.job.env_set):
                answer: tuple[str | None, Any] = (None, task.run(config))
        except (Exception, SystemExit, TrialTimeout) as error:
            answer = (describe_fault(error), traceback.format_exc())
        pipe.send(answer)


def _end_with_parent(alive: int) -> None:
    os.read(alive, 1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    _serve(*map(int, sys.argv[1:]))
