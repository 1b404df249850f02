"""A sweep while it runs: a live table on a terminal, a line for each trial elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from infinito import sign_of_life
from infinito.run_folder.commands import format_text, quote_word
from infinito.run_folder.tables import print_next
from infinito.search.trials import Trial
from infinito.sweeps.driving.sweep import Sweep
from infinito.sweeps.record.confirmation import summarise_confirmation
from infinito.wording import format_count, format_override_value, format_value

RECENT = 8
"""Ended trials in the table, besides the best."""

_STYLES = {"finished": "", "paused": "cyan", "failed": "red", "running": "dim"}


class SweepTable:
    """Shows the best trial, recent, running and failed ones, and the time left.

    Args:
        sweep: What is shown.
    """

    def __init__(self, sweep: Sweep) -> None:
        self.sweep = sweep
        # trials redirect sys.stdout while they run: keep the one there is now
        self.console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
        live = Live(
            console=self.console,
            get_renderable=self.draw,
            refresh_per_second=2,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live = live if self.console.is_terminal else None
        self._said: set[tuple[int, int]] = set()

    def __enter__(self) -> SweepTable:
        sign_of_life.end()
        if self._live is None:
            count = format_count(self.sweep.limits.n_trials, "trial")
            self.say(f"sweep of {count} → {self.sweep.folder}")
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
                "stopped; go on with the same command and "
                f"`hydra.sweeper.resume={self.sweep.folder}`"
            )

    def show(self) -> None:
        """Draw the sweep as it stands; without a terminal, print a line for each new result."""
        if self._live is not None:
            self._live.refresh()
            return
        for trial in self.sweep.search.trials:
            result_of = (trial.number, len(trial.curve))
            if trial.state != "running" and result_of not in self._said:
                self._said.add(result_of)
                result, params = format_result(trial), format_params(trial.params)
                self.say(
                    f"trial {trial.number}: {result}  {params}  ({format_progress(self.sweep)})"
                )

    def say(self, text: str) -> None:
        """Print a line."""
        self.console.print(escape(text))

    def say_next(self) -> None:
        """Print the best trial as overrides, and what can be done with the sweep now."""
        folder, limits = self.sweep.folder, self.sweep.limits
        best = self.sweep.search.best()
        if best is not None and len(self.sweep.search.directions) == 1:
            self.say(f"best: trial {best.number} with {format_result(best)}")
            self.say(f"  {format_command(best.params)}")
            self._say_recommendation()
        goes_on = (
            f"<the same command> {quote_word(f'hydra.sweeper.resume={format_text(folder)}')} "
            f"hydra.sweeper.n_trials={2 * limits.n_trials}"
        )
        board = f"tensorboard --logdir {quote_word(str(folder))}"
        print_next(self.console, [(goes_on, "more trials"), (board, "all trials, in HPARAMS")])

    def _say_recommendation(self) -> None:
        """Print what is recommended where that is not the best score, and what confirms it."""
        search = self.sweep.search
        confirmed = summarise_confirmation(search)
        recommended = search.recommend()
        if confirmed is not None:
            for line in confirmed.describe():
                self.say(line)
        elif search.repeats != 1 and recommended is not None:
            self.say(f"recommended, by the mean that the search believes in: {recommended.number}")
        else:
            return
        assert recommended is not None
        self.say(f"  {format_command(recommended.params)}")

    def draw(self) -> RenderableType:
        """Return heading and table."""
        sweep = self.sweep
        search, names = sweep.search, sweep.search.space.names
        best = search.best()
        table = Table(box=None, pad_edge=False)
        for column in ("trial", "score", *shorten_names(names), "seconds"):
            table.add_column(column, overflow="fold")
        ended = [trial for trial in search.trials if trial.state != "running"]
        rows = [*([best] if best else []), *ended[-RECENT:], *sweep.launched]
        for index, trial in enumerate(rows):
            is_best = index == 0 and trial is best
            seconds = sweep.seconds.get(trial.number)
            table.add_row(
                f"{trial.number}{' best' if is_best else ''}",
                escape(format_result(trial)),
                *(escape(format_value(trial.params[name])) for name in names),
                "" if seconds is None else f"{seconds:.1f}",
                style="bold green" if is_best else _STYLES[trial.state],
            )
        folder = Text(str(sweep.folder), style="dim", overflow="fold")
        return Group(Text(format_heading(sweep), style="bold"), folder, table)


def format_heading(sweep: Sweep) -> str:
    """Return counts and the time left."""
    failed = sum(trial.state == "failed" for trial in sweep.search.trials)
    noun = "" if count_ended(sweep)[2] else "trial "
    return (
        f"{noun}{format_progress(sweep)}; {len(sweep.launched)} running, {failed} failed, "
        f"{format_clock(sweep.elapsed_s)} gone"
    )


def format_progress(sweep: Sweep) -> str:
    """Return how many trials have ended, and the time left."""
    done, total, is_confirming = count_ended(sweep)
    left_s = estimate_time_left_s(sweep)
    left = "" if left_s is None else f", about {format_clock(left_s)} left"
    return f"{'confirmation ' * is_confirming}{done} of {total}{left}"


def count_ended(sweep: Sweep) -> tuple[int, int, bool]:
    """Return how many trials have ended and will have, and whether they confirm the search's."""
    confirming = [trial for trial in sweep.search.trials if trial.confirms is not None]
    done = sum(trial.state != "running" for trial in confirming or sweep.search.trials)
    return done, len(confirming) or sweep.limits.n_trials, bool(confirming)


def estimate_time_left_s(sweep: Sweep) -> float | None:
    """Return the seconds left if other trials take as long as those before; None at first."""
    if not sweep.seconds:
        return None
    mean_s = sum(sweep.seconds.values()) / len(sweep.seconds)
    done, total, _ = count_ended(sweep)
    left_s = mean_s * -(-(total - done) // sweep.workers)
    if sweep.limits.timeout_s is not None:
        left_s = min(left_s, sweep.limits.timeout_s - sweep.elapsed_s)
    return max(left_s, 0.0)


def shorten_names(names: Sequence[str]) -> list[str]:
    """Return the last part of each dotted name, or more parts where that is not unique."""

    def shorten(name: str) -> str:
        parts = name.split(".")
        for count in range(1, len(parts)):
            ending = ".".join(parts[-count:])
            if sum(f".{other}".endswith(f".{ending}") for other in names) == 1:
                return ending
        return name

    return [shorten(name) for name in names]


def format_result(trial: Trial) -> str:
    """Return a trial's scores or its error, in a few words."""
    if trial.values is not None:
        return ", ".join(f"{value:.5g}" for value in trial.values)
    if trial.state == "paused":
        return f"{trial.curve[-1]:.5g}, paused"
    return f"failed: {trial.error}"[:120] if trial.state == "failed" else "…"


def format_params(params: dict[str, Any]) -> str:
    """Return parameters to look at, rounded."""
    return " ".join(f"{name}={format_value(value)}" for name, value in params.items())


def format_command(params: dict[str, Any]) -> str:
    """Return parameters to type in a shell, to the last digit."""
    return " ".join(
        quote_word(f"{name}={format_override_value(value)}") for name, value in params.items()
    )


def format_clock(seconds: float) -> str:
    """Return seconds as 1:02 or 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
