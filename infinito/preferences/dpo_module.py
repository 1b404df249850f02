"""The Lightning module that tunes a causal language model on preference pairs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from infinito.config import AdamWConf
from infinito.errors import NonFiniteError
from infinito.models.log_probs.token_log_probs import TokenScores
from infinito.preferences.objective.losses import PairLogProbs
from infinito.preferences.objective.metrics import compute_pair_metrics, compute_token_metrics
from infinito.preferences.objective.weighted_losses import PreferenceObjective
from infinito.preferences.reference.policies import FreeReference, Reference
from infinito.preferences.scoring.answer_scores import score_answers
from infinito.preferences.scoring.layout_probe import Layout
from infinito.preferences.scoring.layouts import PairBatch
from infinito.storage import written_whole
from infinito.training.distributed.metric_means import MetricMeans
from infinito.training.optimizer.optimized_task import OptimizedTask


class DpoPolicyTask(OptimizedTask):
    """Preference tuning of any causal language model, with adapters or without.

    A batch is a `PairBatch`. Losses are computed in float64 from sums in float64.

    Args:
        model: The policy.
        layout: Layout of the batches, which must suit the policy.
        objective: What is minimized.
        optimizer: The optimizer and its schedule.
        total_steps: Optimizer steps of the whole training, where the schedule ends.
        reference: Source of the reference's log-probabilities.
        dropout: Train with the model's dropout; without it policy and reference agree exactly at
            the start.
        seed: Randomness inside batch n is a function of (seed, n, rank).
        statistics_every: Compute entropy, logits and accuracy of tokens in one batch of so many,
            as they need another pass over all logits.
        fault_folder: Where a batch whose loss is not finite is written.
        description: Plain values by which a checkpoint is opened without its run folder.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        layout: Layout,
        objective: PreferenceObjective,
        optimizer: AdamWConf,
        total_steps: int,
        reference: Reference,
        *,
        dropout: bool = False,
        seed: int = 0,
        statistics_every: int = 1,
        fault_folder: Path | None = None,
        description: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(model, optimizer, total_steps, seed, description)
        self.layout, self.objective, self.reference = layout, objective, reference
        self.dropout = dropout
        self.statistics_every = statistics_every
        self.fault_folder = fault_folder
        self.training_means, self.held_out_means = MetricMeans(), MetricMeans()

    def forward(
        self, batch: PairBatch, statistics: bool = False
    ) -> tuple[PairLogProbs, TokenScores]:
        """Return log-probabilities and token scores of a batch's answers."""
        reference = self.reference(batch).chunk(2)
        scores = score_answers(self.model, batch, self.layout.head, statistics)
        return PairLogProbs(*scores.log_probs.chunk(2), *reference, *batch.tokens.chunk(2)), (
            scores.tokens
        )

    def setup(self, stage: str) -> None:
        """Set training mode for now: Lightning warns about any other mode at this point."""
        if stage == "fit":
            self.model.train()

    def on_train_start(self) -> None:
        """Set the policy's mode by `dropout`, whichever mode it was loaded or made in."""
        self.model.train(self.dropout)

    def training_step(self, batch: PairBatch, batch_idx: int) -> Tensor:
        """Return the mean loss over the pairs of a batch, of all processes together."""
        if self.dropout:
            self.seed_step(batch_idx, batch.targets.device)
        statistics = (batch_idx + 1) % self.statistics_every == 0
        loss, metrics = self._judge(batch, statistics)
        if not torch.isfinite(loss):
            raise NonFiniteError(self._fault(batch, float(loss.detach())))
        self.last_loss = loss.detach()
        self.training_means.add(metrics, batch.pairs)
        return loss

    def validation_step(self, batch: PairBatch, batch_idx: int) -> None:
        """Add a batch to the means over the held-out pairs."""
        _, metrics = self._judge(batch, statistics=True)
        self.held_out_means.add(metrics, batch.pairs)

    def on_validation_epoch_end(self) -> None:
        """Log the means over the held-out pairs and pass the loss to the schedule."""
        means = self.held_out_means.take(self.trainer.strategy)
        self.judge_validation(means["loss"])
        named = {f"val/{name}": value for name, value in means.items()}
        self.log_dict(named, logger=False, batch_size=1)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the sums of metrics that are not logged yet."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["training_means"] = self.training_means.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the sums of metrics that were not logged yet."""
        super().on_load_checkpoint(checkpoint)
        self.training_means.load_state_dict(checkpoint["training_means"], self.global_rank)

    def _judge(self, batch: PairBatch, statistics: bool) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss to minimize on a batch, and metrics, whose loss is a plain mean."""
        pairs, tokens = self(batch, statistics)
        losses = self.objective(pairs) * batch.weights
        metrics = {"loss": losses.mean(), **compute_pair_metrics(pairs, self.objective.beta)}
        if isinstance(self.reference, FreeReference):  # displacement needs a reference
            metrics = {name: each for name, each in metrics.items() if "displacement" not in name}
        if statistics:
            assert tokens.entropy is not None
            assert tokens.mean_logits is not None
            assert tokens.is_top is not None
            of_chosen = batch.answers < batch.pairs
            metrics |= compute_token_metrics(
                tokens.entropy, tokens.mean_logits, tokens.is_top, of_chosen
            )
        return losses.sum() * batch.share, metrics

    def _fault(self, batch: PairBatch, loss: float) -> str:
        """Write a batch to a file and return the message about it."""
        rows = batch.rows.tolist()
        where = ""
        if self.fault_folder is not None:
            self.fault_folder.mkdir(parents=True, exist_ok=True)
            path = self.fault_folder / f"batch_not_finite_rank{self.global_rank}.json"
            content = {
                "rows": rows,
                "tokens": batch.tokens.tolist(),
                "input_ids": [part["input_ids"].tolist() for part in batch.inputs],
                "reference": None if batch.reference is None else batch.reference.tolist(),
            }
            with written_whole(path) as file:
                file.write(json.dumps(content).encode())
            where = f" The batch is written to {path}."
        return (
            f"step {self.global_step + 1}: the loss is {loss:g} on the pairs of rows "
            f"{', '.join(map(str, rows))}, so training stopped before the step.{where} What "
            f"was saved before is kept. Try a smaller `optimizer.lr` (now {self.settings.lr:g})."
        )
