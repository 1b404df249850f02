"""Trains and validates a causal language model on windows of tokens, or on conversations."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from infinito.config import AdamWConf
from infinito.models.memory.model import MemoryLMForCausalLM
from infinito.models.observation.watching import observed
from infinito.objectives.units import TextUnits, loss_report
from infinito.training.distributed.metric_means import MetricMeans
from infinito.training.distributed.reduction import mean_over_processes
from infinito.training.module.batch_loss import BatchLoss, MeasuredLoss, WindowLoss
from infinito.training.optimizer.optimized_task import OptimizedTask
from infinito.training.phi.term import PhiObjective

WINDOWS = WindowLoss()


class LanguageModelTask(OptimizedTask):
    """Next-token training of any Hugging Face causal language model.

    What a batch is, and which of its tokens are targets, is for `loss` to know.

    Args:
        model: The language model.
        optimizer: The optimizer and its schedule.
        total_steps: Optimizer steps of the whole training, where the schedule ends.
        units: Units of the validation split.
        seed: Randomness inside batch n is a function of (seed, n, rank).
        description: Plain values that make a checkpoint readable on its own (model configuration,
            tokenizer).
        phi: Adds Φ to the loss, None for the language loss alone.
        loss: Measures the language loss of a batch.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        optimizer: AdamWConf,
        total_steps: int,
        units: TextUnits,
        seed: int = 0,
        description: dict[str, Any] | None = None,
        phi: PhiObjective | None = None,
        loss: BatchLoss = WINDOWS,
    ) -> None:
        super().__init__(model, optimizer, total_steps, seed, description)
        self.units = units
        self.phi = phi
        self.measure = loss
        self.validation_means = MetricMeans(torch.float32)
        self.last_language_loss: Tensor | None = None

    def language_loss(self, batch: Any) -> MeasuredLoss:
        """Return the language loss of a batch."""
        return self.measure(self.model, batch)

    def on_train_start(self) -> None:
        """Puts the model in training mode: one that was loaded comes in evaluation mode."""
        self.model.train()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the mean loss of a batch in nats per token, plus λ times that of its Φ."""
        self.seed_step(batch_idx, self.device)
        if self.phi is None:
            loss = language = self.language_loss(batch).weighted
        else:
            with observed(self.model) as seen:
                language = self.language_loss(batch).weighted
            loss = self.phi.add_to(language, self.model, seen)
        self.last_loss, self.last_language_loss = loss.detach(), language.detach()
        return loss

    def step_metrics(self) -> dict[str, float]:
        """Return what the objective and the memory report of the last step, by name."""
        metrics = {}
        if self.phi is not None:
            assert self.last_language_loss is not None
            metrics["train/language_loss"] = float(mean_over_processes(self.last_language_loss))
            metrics |= {f"train/{name}": each for name, each in self.phi.metrics().items()}
        if isinstance(self.model, MemoryLMForCausalLM):
            values = self.model.memory.statistics().items()
            metrics |= {f"train/memory/{name}": value for name, value in values}
        return metrics

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Adds a batch to the validation loss, and to that of Φ."""
        with observed(self.model) if self.phi else nullcontext() as seen:
            measured_loss = self.language_loss(batch)
        self.validation_means.add({"loss": measured_loss.nats}, measured_loss.tokens)
        if self.phi is not None and seen is not None:
            measured = self.phi.measure(self.model, seen)
            in_band = measured.loss == 0
            self.validation_means.add({"phi": measured.value, "in_band": in_band}, len(batch))

    def on_validation_epoch_end(self) -> None:
        """Reports the validation loss in all its units and lets the plateau schedule judge it."""
        means = self.validation_means.take(self.trainer.strategy)
        nats = means["loss"]
        self.judge_validation(nats)
        report = loss_report(nats, self.units, "val")
        if self.phi is not None:
            self.phi.validation = {
                "val/phi": means["phi"],
                "val/phi_share_in_band": means["in_band"],
            }
            report |= self.phi.validation
        self.log_dict(report, logger=False, sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the state of Φ."""
        super().on_save_checkpoint(checkpoint)
        if self.phi is not None:
            checkpoint["phi"] = self.phi.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes the states back; adapters of another base model are refused."""
        super().on_load_checkpoint(checkpoint)
        if self.phi is not None:
            self.phi.load_state_dict(checkpoint["phi"])
