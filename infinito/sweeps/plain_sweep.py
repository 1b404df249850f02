"""What a plain sweep (`-m` without a search) says: which run of how many, time left, a table.

A Hydra callback, `hydra/callbacks=plain_sweep`. Hydra makes one for every command, so nothing heavy
is imported here. A search has its own table (`report.live_table`), so this one keeps still.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import Any, NoReturn

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from infinito import sign_of_life
from infinito.errors import SIGNALLED, InfinitoError


class PlainSweepReport(Callback):
    """Prints a line before each run, and a table over the runs after the last.

    Launchers that run jobs in other processes carry a copy of this with each job. A copy knows how
    many runs there are, but not how long the others took, so it leaves out the time left.
    """

    def __init__(self) -> None:
        self.runs = 0
        self.swept: list[str] = []
        self.seconds: list[float] = []
        self._started_s = 0.0
        self._process = os.getpid()
        self._is_reported = False

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Count the runs."""
        if config.hydra.runtime.choices["hydra/sweeper"] == "basic":
            overrides = read_overrides(config)
            self.swept = [each.get_key_element() for each in overrides if each.is_sweep_override()]
            self.runs = count_runs(overrides)

    def on_job_start(self, config: DictConfig, **_: Any) -> None:
        """Print which run begins, with the values that the sweep gives it."""
        if not self.runs:
            return
        self._started_s = time.monotonic()
        own = config.hydra.overrides.task
        values = [text for text in own if text.partition("=")[0] in self.swept]
        left_s = self._estimate_left_s()
        left = "" if left_s is None else f", about {_format_clock(left_s)} left"
        self._print(f"\n[run {config.hydra.job.num + 1} of {self.runs}{left}] {' '.join(values)}")

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        """Note how long the run took and whether it failed; after the last one, print the table."""
        if not self.runs:
            return
        fault = job_return._return_value if job_return.status == JobStatus.FAILED else None
        if isinstance(fault, InfinitoError) and fault.exit_code > SIGNALLED:
            self._stop(config, fault)
        self.seconds.append(time.monotonic() - self._started_s)
        if fault is not None:
            line = f"{type(fault).__name__}: {fault}"
            self._print(f"run {config.hydra.job.num + 1} of {self.runs} failed: {line}")
        if len(self.seconds) == self.runs:  # Hydra ends a sweep with a failed run without a call
            self._report(config)

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Print the table where the runs ended in other processes."""
        if self.runs and not self._is_reported:
            self._report(config)

    def _stop(self, config: DictConfig, stop: InfinitoError) -> NoReturn:
        """End the sweep with a run that a signal ended; Hydra's launcher would begin the next."""
        number = config.hydra.job.num + 1
        if os.getpid() == self._process:
            self._report(config)
        self._print(f"\nstopped in run {number} of {self.runs}: {stop}")
        if number < self.runs:
            self._print("The runs after it were not begun: sweep over the values that are left")
        raise SystemExit(stop.exit_code)

    def _estimate_left_s(self) -> float | None:
        if not self.seconds:
            return None
        return sum(self.seconds) / len(self.seconds) * (self.runs - len(self.seconds))

    def _report(self, config: DictConfig) -> None:
        from infinito.sweeps.report.run_table import print_run_table

        self._is_reported = True
        print_run_table(Path(str(config.hydra.sweep.dir)), [key.lstrip("+") for key in self.swept])

    def _print(self, text: str) -> None:
        sign_of_life.end()
        print(text, flush=True)


def read_overrides(config: DictConfig) -> list[Override]:
    """Return the parsed overrides of a sweep: `hydra.sweeper.params`, then the command line's."""
    params = config.hydra.sweeper.get("params") or {}
    texts = [f"{key}={value}" for key, value in params.items()]
    parser = OverridesParser.create()
    return parser.parse_overrides([*texts, *config.hydra.overrides.task])


def count_runs(overrides: Iterable[Override]) -> int:
    """Return how many runs Hydra's own sweeper makes; the last override of a key counts."""
    last = {each.get_key_element(): each for each in overrides}
    return prod(
        sum(1 for _ in each.sweep_string_iterator())
        for each in last.values()
        if each.is_discrete_sweep()
    )


def _format_clock(seconds: float) -> str:
    from infinito.sweeps.report.live_table import format_clock

    return format_clock(seconds)
