"""The screen of a training: a bar that costs nothing, and a line for every validation."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.trainer.states import TrainerFn
from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn

from infinito.run_folder.progress import Bar, Pulse
from infinito.training.callbacks.throughput import Throughput
from infinito.training.callbacks.validation import count_validations, validation_metrics
from infinito.training.length.planning import Length

REFRESH_S = 0.2
"""The bar is drawn at most that often."""

VALIDATION_COST = 1 / 3
"""Seconds of a validation batch to those of a training batch, before any was timed."""

SHOWN = {
    "val/perplexity": "perplexity {:,.2f}",
    "val/bits_per_byte": "{:.4f} bits/byte",
    "val/word_perplexity": "word perplexity {:,.1f}",
    "val/rewards/accuracies": "accuracy {:.3f}",
    "val/rewards/margins": "margin {:+.3f}",
}
"""What a validation's line shows of its metrics."""


class TrainingBar(ProgressBar):
    """Shows step, loss, throughput and time left; prints a line for every validation.

    Args:
        length: Of the whole training.
        validation_batches: Batches of one validation.
        throughput: What the training log measures.
        console: Where to draw; a console that is no terminal gets the lines alone.
        draws: Whether to draw a bar at all.
    """

    def __init__(
        self,
        length: Length,
        validation_batches: int,
        throughput: Throughput,
        console: Console,
        draws: bool = True,
    ) -> None:
        super().__init__()
        self.length, self.validation_batches = length, validation_batches
        self.throughput, self.draws = throughput, draws
        self._live = True
        self._next_s = 0.0
        self._begun_s = self._validation_begun_s = 0.0
        self._begun_at = self._done = self._validated_batches = self._validations = 0
        self._validation_s = 0.0
        self._draw_on(console)

    def _draw_on(self, console: Console) -> None:
        self.console = console
        self._bar = Bar(
            SpinnerColumn(style="cyan"),
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None, complete_style="cyan", finished_style="green"),
            TextColumn("step {task.fields[step]}"),
            TextColumn("loss {task.fields[loss]}"),
            TextColumn("{task.fields[speed]} tokens/s"),
            TextColumn("[cyan]{task.fields[left]} left"),
            console=console,
            auto_refresh=False,
            transient=True,
            disable=not (self.draws and console.is_terminal),
        )
        self._pulse = Pulse(self._bar)
        self._task = self._bar.add_task("", total=1, step="–", loss="–", speed="–", left="–")

    def __getstate__(self) -> dict[str, Any]:
        """Return all but what is tied to this process: a spawned one has a console of its own."""
        tied = ("console", "_bar", "_pulse", "_task")
        return {name: value for name, value in vars(self).items() if name not in tied}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._draw_on(Console())

    def enable(self) -> None:
        """Draw again (Lightning asks)."""
        self._live = True

    def disable(self) -> None:
        """Draw nothing more (Lightning asks, on ranks other than 0)."""
        self._live = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the bar, at the batch that the training goes on from."""
        self._begun_s = time.perf_counter()
        self._begun_at = self._done = trainer.fit_loop.total_batch_idx + 1
        if self._live:
            self._bar.start()

    def on_train_batch_start(self, *_: Any, **__: Any) -> None:
        """Move the bar by the batches alone, which costs less."""
        self._pulse.stop()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the bar, at most every `REFRESH_S` seconds."""
        self._done = batch_idx + 1
        if self._is_time():
            self._draw(trainer, pl_module, f"epoch {self._epoch(self._done)}")

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of a validation."""
        self._validation_begun_s = time.perf_counter()
        self._validated_batches = 0
        if self._live and trainer.state.fn == TrainerFn.FITTING:
            self._pulse.start()  # also while samples are drawn, pictures made and files written

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        *_: Any,
    ) -> None:
        """Move the bar through a validation, too."""
        self._validated_batches = batch_idx + 1
        if trainer.state.fn == TrainerFn.FITTING and self._is_time():
            place = f"validating {self._validated_batches}/{self.validation_batches}"
            self._draw(trainer, pl_module, place)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the line of a validation, above the bar."""
        self._validation_s += time.perf_counter() - self._validation_begun_s
        self._validations += 1
        self._validated_batches = 0
        values = validation_metrics(trainer)
        if not self._live or trainer.sanity_checking or "val/loss" not in values:
            return
        shown = [
            f"epoch {self._epoch(trainer.fit_loop.total_batch_idx + 1):>5}",
            f"step {trainer.global_step:>6}",
            f"valid loss {values['val/loss']:.4f}",
            *(form.format(values[name]) for name, form in SHOWN.items() if name in values),
        ]
        self.console.print("  ".join(shown), highlight=False, soft_wrap=True)
        self.console.file.flush()  # a log file shows it now, not 8 KiB later

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Take the bar away."""
        self._pulse.stop()
        self._bar.stop()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Take the bar away before an error is printed."""
        self._pulse.stop()
        self._bar.stop()

    def _is_time(self) -> bool:
        now_s = time.perf_counter()
        if not self._live or self._bar.disable or now_s < self._next_s:
            return False
        self._next_s = now_s + REFRESH_S
        return True

    def _draw(self, trainer: Trainer, pl_module: LightningModule, place: str) -> None:
        accumulate = trainer.accumulate_grad_batches
        every = self.length.validate_every
        whole = count_validations(self.length.batches, every, accumulate, self.length.batches)
        past = count_validations(self._done, every, accumulate, self.length.batches)
        past -= self._validated_batches > 0  # the one that is running
        speed = self.throughput.tokens_per_s
        loss: Any = pl_module.last_loss
        self._bar.update(
            self._task,
            description=place,
            total=self.length.batches + whole * self.validation_batches,
            completed=self._done + past * self.validation_batches + self._validated_batches,
            step=f"{trainer.global_step}/{self.length.steps}",
            loss="–" if loss is None else f"{float(loss):.3f}",
            speed=f"{speed:,.0f}" if speed else "–",
            left=self._time_left(whole - past),
        )
        self._bar.refresh()

    def _time_left(self, validations_left: int) -> str:
        """The time of the batches and validations to come, at the speed of those of this run."""
        done = self._done - self._begun_at
        if done < 1:
            return "–"
        now_s = time.perf_counter()
        running_s = now_s - self._validation_begun_s if self._validated_batches else 0.0
        batch_s = (now_s - self._begun_s - self._validation_s - running_s) / done
        validation_s = batch_s * VALIDATION_COST * self.validation_batches
        if self._validations:
            validation_s = self._validation_s / self._validations
        left_s = (self.length.batches - self._done) * batch_s + validations_left * validation_s
        return str(timedelta(seconds=round(max(0.0, left_s - running_s))))

    def _epoch(self, done: int) -> str:
        return f"{done / self.length.batches_per_epoch:.1f}"
