"""A line for each rollout and validation, so that a log file shows where a training is."""

from __future__ import annotations

from typing import Any

from lightning import Callback, LightningModule, Trainer
from rich.console import Console


class RolloutLines(Callback):
    """Prints returns, Φ and what PPO did.

    Args:
        console: Where to print.
    """

    def __init__(self, console: Console) -> None:
        self.console = console

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Prints the line of a rollout."""
        report: dict[str, float] = pl_module.last_report  # type: ignore[assignment]
        actions = " ".join(
            f"{name.rpartition('/')[2]} {value:.0%}"
            for name, value in sorted(report.items())
            if name.startswith("rl/action/")
        )
        self._print(
            f"step {pl_module.timesteps:>7}",
            f"return {report.get('rl/return_mean', float('nan')):.3f}",
            f"Φ {report['rl/phi']:.2f}",
            f"in band {report['rl/in_band']:.0%}",
            f"perplexity {report['rl/perplexity']:.2f}",
            actions,
            f"entropy {report['rl/entropy_nats']:.3f}",
            f"KL {report['rl/kl_nats']:.4f}",
        )

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prints the line of a validation."""
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self._print(
            f"step {pl_module.timesteps:>7}",
            f"validation return {values['val/return']:.4f}",
            f"train/held-out gap {values['val/gap']:+.3f} (p {values['val/gap_p']:.2f})",
            f"below the best: p {values['val/decline_p']:.2f}",
        )

    def _print(self, *parts: str) -> None:
        self.console.print("  ".join(parts), highlight=False, soft_wrap=True)
        self.console.file.flush()
