"""A progress bar that costs nothing: it reads the trainer a few times a second at most."""

from __future__ import annotations

import time
from typing import Any, Protocol

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

REFRESH_S = 0.2

SHOWN = {
    "val/perplexity": "perplexity {:,.2f}",
    "val/bits_per_byte": "{:.4f} bits/byte",
    "val/word_perplexity": "word perplexity {:,.1f}",
    "val/rewards/accuracies": "accuracy {:.3f}",
    "val/rewards/margins": "margin {:+.3f}",
}
"""What a validation's line shows of its metrics."""


class Throughput(Protocol):
    """Knows how fast a training goes."""

    tokens_per_s: float | None
    """Of the steps logged last; None before the first of them."""


class TrainingBar(ProgressBar):
    """Shows epoch, step, loss, throughput and time left; prints a line for every validation.

    Args:
        total_batches: Batches of the whole training.
        batches_per_epoch: Batches of one pass over the training split.
        log: Knows the throughput.
        console: Where to draw; without a terminal only the lines of the validations are printed.
    """

    def __init__(
        self,
        total_batches: int,
        batches_per_epoch: int,
        log: Throughput,
        console: Console,
    ) -> None:
        super().__init__()
        self.throughput = log
        self.total_batches = total_batches
        self.batches_per_epoch = batches_per_epoch
        self._next_s = 0.0
        self._live = True
        self._draw_on(console)

    def _draw_on(self, console: Console) -> None:
        self.console = console
        self._bar = Progress(
            TextColumn("[bold]epoch {task.fields[epoch]}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}"),
            TextColumn("{task.fields[speed]} tokens/s"),
            TimeRemainingColumn(),
            console=console,
            auto_refresh=False,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(
            "", total=self.total_batches, epoch="0", loss="–", speed="–"
        )

    def __getstate__(self) -> dict[str, Any]:
        """All but what is tied to this process: a spawned one draws on a console of its own."""
        tied = ("console", "_bar", "_task")
        return {name: value for name, value in vars(self).items() if name not in tied}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._draw_on(Console())

    def enable(self) -> None:
        """Draws again (Lightning asks)."""
        self._live = True

    def disable(self) -> None:
        """Draws nothing more (Lightning asks, on ranks other than 0)."""
        self._live = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Shows the bar."""
        if self._live:
            self._bar.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Moves the bar, at most every `REFRESH_S` seconds."""
        now_s = time.perf_counter()
        if not self._live or self._bar.disable or now_s < self._next_s:
            return
        self._next_s = now_s + REFRESH_S
        self._bar.update(
            self._task,
            completed=batch_idx + 1,
            epoch=self._epoch(batch_idx + 1),
            loss=f"{float(pl_module.last_loss):.3f}",  # type: ignore[arg-type]
            speed=f"{self.throughput.tokens_per_s:,.0f}" if self.throughput.tokens_per_s else "–",
        )
        self._bar.refresh()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prints the line of a validation, above the bar."""
        if not self._live or trainer.sanity_checking or "val/loss" not in trainer.callback_metrics:
            return
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        done = trainer.fit_loop.total_batch_idx + 1
        shown = [
            f"epoch {self._epoch(done):>5}",
            f"step {trainer.global_step:>6}",
            f"valid loss {values['val/loss']:.4f}",
            *(form.format(values[name]) for name, form in SHOWN.items() if name in values),
        ]
        self.console.print("  ".join(shown), highlight=False)
        self.console.file.flush()  # a log file shows it now, not 8 KiB later

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Takes the bar away."""
        self._bar.stop()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Takes the bar away before an error is printed."""
        self._bar.stop()

    def _epoch(self, done: int) -> str:
        return f"{done / self.batches_per_epoch:.1f}"
