"""A sweep while it runs: a live table on a terminal, a line for each trial elsewhere."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from infinito.search.space.space import Space
from infinito.search.trials import Trial
from infinito.sweeps.sweep import Limits, Sweep
from infinito.wording import format_override_value, format_value

RECENT = 8
"""Trials listed besides the best."""


class SweepTable:
    """Shows best so far, running, failed and time left.

    Args:
        limits: When the sweep ends.
        space: Names the columns.
        folder: Where the sweep writes.
    """

    def __init__(self, limits: Limits, space: Space, folder: Path) -> None:
        self.limits = limits
        self.space = space
        self.folder = folder
        # trials redirect sys.stdout while they run: keep the one there is now
        self.console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
        self._sweep: Sweep | None = None
        live = Live(
            console=self.console,
            get_renderable=lambda: "" if self._sweep is None else self.drawn(self._sweep),
            refresh_per_second=1,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live = live if self.console.is_terminal else None
        self._told: set[int] = set()

    def __enter__(self) -> SweepTable:
        if self._live is None:
            self.say(f"sweep of {self.limits.n_trials} trials → {self.folder}")
        else:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            self.say(
                f"stopped; go on with the same command and `hydra.sweeper.resume={self.folder}`"
            )

    def show(self, sweep: Sweep) -> None:
        """Draws the sweep as it stands."""
        self._sweep = sweep
        if self._live is not None:
            self._live.refresh()
            return
        for trial in sweep.search.trials:
            if trial.state != "running" and trial.number not in self._told:
                self._told.add(trial.number)
                self.say(f"trial {trial.number}: {result(trial)}  {described(trial.params)}")

    def end(self, reason: str) -> None:
        """Says why the sweep ended."""
        self.say(reason)

    def say(self, text: str) -> None:
        """Prints a line."""
        self.console.print(escape(text))

    def drawn(self, sweep: Sweep) -> RenderableType:
        """Heading and table."""
        trials, best = sweep.search.trials, sweep.search.best()
        table = Table(box=None, pad_edge=False)
        for column in ("trial", "score", *self.space.names, "seconds"):
            table.add_column(column)
        ended = [trial for trial in trials if trial.state != "running"]
        rows = [*([best] if best else []), *ended[-RECENT:], *sweep.launched]
        for index, trial in enumerate(rows):
            style = "bold green" if index == 0 and trial is best else _STYLES[trial.state]
            seconds = sweep.seconds.get(trial.number)
            table.add_row(
                f"{trial.number}{' best' if index == 0 and trial is best else ''}",
                escape(result(trial)),
                *(escape(format_value(trial.params[name])) for name in self.space.names),
                "" if seconds is None else f"{seconds:.1f}",
                style=style,
            )
        return Group(f"[bold]{escape(str(self.folder))}[/]  {heading(sweep)}", table)


_STYLES = {"finished": "", "failed": "red", "running": "dim"}


def heading(sweep: Sweep) -> str:
    """Counts and the time left, as text."""
    trials = sweep.search.trials
    counts = {state: sum(t.state == state for t in trials) for state in _STYLES}
    left_s = time_left_s(sweep)
    left = "" if left_s is None else f", about {_clock(left_s)} left"
    done = counts["finished"] + counts["failed"]
    return (
        f"{done} of {sweep.limits.n_trials} trials, {len(sweep.launched)} running, "
        f"{counts['failed']} failed, {_clock(sweep.elapsed_s)} gone{left}"
    )


def time_left_s(sweep: Sweep) -> float | None:
    """Seconds until the last trial, if the others take as long as those before; None at first."""
    if not sweep.seconds:
        return None
    mean_s = sum(sweep.seconds.values()) / len(sweep.seconds)
    done = sum(trial.state != "running" for trial in sweep.search.trials)
    left_s = mean_s * -(-(sweep.limits.n_trials - done) // sweep.limits.n_jobs)
    if sweep.limits.timeout_s is not None:
        left_s = min(left_s, sweep.limits.timeout_s - sweep.elapsed_s)
    return max(left_s, 0.0)


def result(trial: Trial) -> str:
    """A trial's scores or its error, in a few words."""
    if trial.values is not None:
        return ", ".join(f"{value:.5g}" for value in trial.values)
    return f"failed: {trial.error}"[:120] if trial.state == "failed" else "…"


def described(params: dict[str, Any]) -> str:
    """Parameters to look at, rounded."""
    return " ".join(f"{name}={format_value(value)}" for name, value in params.items())


def typed(params: dict[str, Any]) -> str:
    """Parameters to type in a shell, to the last digit."""
    return " ".join(
        shlex.quote(f"{name}={format_override_value(value)}") for name, value in params.items()
    )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
