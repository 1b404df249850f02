"""Shows how far the training of a schedule is: a bar with the time left, or lines in a log file."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from lightning import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

from infinito.run_folder.progress import Bar

REFRESH_S = 0.2


class RolloutBar(Callback):
    """Draws a bar over all environment steps; prints a line for each validation.

    Without a terminal there is no bar, and each rollout has a line too.

    Args:
        total_timesteps: Environment steps of the whole training.
        validation_timesteps: Environment steps of each validation. They are work as well, so the
            time left counts them.
        validations: Validations that are left.
        done: Environment steps of training that a resumed run has done.
        console: Where to draw and print.
    """

    def __init__(
        self,
        total_timesteps: int,
        validation_timesteps: int,
        validations: int,
        done: int,
        console: Console,
    ) -> None:
        self.console = console
        self.total_timesteps = total_timesteps
        self.work = total_timesteps - done + validation_timesteps * validations
        self.worked = 0
        self._began_s = self._next_s = time.monotonic()
        self._bar = Bar(
            TextColumn("[bold]step {task.fields[step]}"),
            BarColumn(bar_width=None, complete_style="cyan"),
            TaskProgressColumn(),
            TextColumn("return {task.fields[episode_return]}"),
            TimeRemainingColumn(),
            console=console,
            auto_refresh=False,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(
            "", total=self.work, step=self._count(done), episode_return="–"
        )

    def advance(self, steps: int) -> None:
        """Count environment steps of a rollout or a validation as done."""
        self.worked += steps
        now_s = time.monotonic()
        if not self._bar.disable and now_s >= self._next_s:
            self._next_s = now_s + REFRESH_S
            self._bar.update(self._task, completed=self.worked, refresh=True)

    def estimate_left_s(self) -> float:
        """Return the seconds left at the mean speed so far."""
        spent_s = time.monotonic() - self._began_s
        return spent_s * max(0, self.work - self.worked) / max(1, self.worked)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the bar."""
        self._began_s = time.monotonic()
        self._bar.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Update the bar's figures, or print the line of a rollout."""
        report: dict[str, float] = pl_module.last_report  # type: ignore[assignment]
        step = self._count(int(pl_module.timesteps))  # type: ignore[arg-type]
        episode_return = f"{report.get('rl/return_mean', float('nan')):.3f}"
        self._bar.update(self._task, step=step, episode_return=episode_return)
        if not self.console.is_terminal:
            self._print(
                f"step {step}",
                f"return {episode_return}",
                f"Φ {report['rl/phi']:.2f}",
                f"perplexity {report['rl/perplexity']:.2f}",
                f"{timedelta(seconds=round(self.estimate_left_s()))} left",
            )

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the line of a validation, above the bar."""
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self._print(
            f"step {self._count(int(pl_module.timesteps))}",  # type: ignore[arg-type]
            f"validation return {values['val/return']:.3f}",
            f"{values['val/gap']:+.3f} on training states (p {values['val/gap_p']:.2f})",
        )

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Remove the bar."""
        self._bar.stop()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Remove the bar before an error is printed."""
        self._bar.stop()

    def _count(self, done: int) -> str:
        return f"{done:,}/{self.total_timesteps:,}"

    def _print(self, *parts: str) -> None:
        self.console.print("  ".join(parts), highlight=False, soft_wrap=True)
        self.console.file.flush()  # a log file shows the line now, not with the next 8 KiB
