"""One child process that runs trials one after the other, and is killed and replaced at need.

It lives as long as its trials are well, so they share imports, data and tokenizers. It ends itself
when its parent is gone.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

import cloudpickle
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import env_override, setup_globals
from omegaconf import DictConfig

if TYPE_CHECKING:
    from hydra_plugins.infinito_mcts._trial import TrialTask

GRACE_S = 5.0
"""How long past its limit a trial may take to stop by itself before its process is killed."""


class Child:
    """A child process that runs what it is sent."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), name="trial")
        self._process.start()
        theirs.close()
        atexit.register(self.kill)

    @property
    def is_alive(self) -> bool:
        """Whether it can take another trial."""
        return self._process.is_alive()

    def call(self, task: TrialTask, config: DictConfig, whole: Any, limit_s: float | None) -> Any:
        """Runs a trial and returns what the task returned.

        Raises:
            TrialFailed: It raised, its process ended, or it was killed at its limit.
        """
        from hydra_plugins.infinito_mcts._trial import TrialFailed, over

        try:
            self._pipe.send(cloudpickle.dumps((task, config, whole, os.getcwd())))
            if not self._pipe.poll(None if limit_s is None else limit_s + GRACE_S):
                raise TrialFailed(f"{over(limit_s or 0)}; it did not answer and was killed")
            fault, returned = self._pipe.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            code = self._process.exitcode or 0
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            raise TrialFailed(f"the trial's process ended ({how})") from None
        except BaseException:
            self.kill()
            raise
        if fault is not None:
            raise TrialFailed(fault)
        return returned

    def kill(self) -> None:
        """Ends it and what it has started."""
        atexit.unregister(self.kill)
        if self._process.pid is not None and self._process.is_alive():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.kill()
        self._process.join()
        self._pipe.close()


_child: Child | None = None


def called(task: TrialTask, config: DictConfig, whole: Any, limit_s: float | None) -> Any:
    """What the task returns for `config`, run in this process's child.

    Raises:
        TrialFailed: The trial failed, or its process did.
    """
    global _child
    if _child is None or not _child.is_alive:
        _child = Child()
    return _child.call(task, config, whole, limit_s)


def _serve(pipe: Connection) -> None:
    from hydra_plugins.infinito_mcts._trial import TrialTimeout, described

    os.setsid()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    setup_globals()
    while True:
        try:
            task, config, whole, place = pickle.loads(pipe.recv())
        except EOFError:
            return
        os.chdir(place)
        HydraConfig.instance().cfg = whole
        try:
            with env_override(whole.hydra.job.env_set):
                answer: tuple[str | None, Any] = (None, task.run(config))
        except (Exception, SystemExit, TrialTimeout) as error:
            answer = (described(error), None)
            sys.stderr.flush()
        pipe.send(answer)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.killpg(0, signal.SIGKILL)
