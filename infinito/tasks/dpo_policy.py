"""Tunes a causal language model on preference pairs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from transformers import PreTrainedModel

from infinito.config import AdamWConf
from infinito.errors import NonFiniteError
from infinito.models.base_weights import additions, rests_on_base
from infinito.models.layout_probe import Layout
from infinito.models.pair_layouts import PairBatch
from infinito.models.pair_scores import answer_scores
from infinito.models.reference_policy import Reference
from infinito.models.token_log_probs import TokenScores
from infinito.objectives.preference import PairLogProbs
from infinito.objectives.preference_metrics import pair_metrics, token_metrics
from infinito.objectives.preference_objective import PreferenceObjective
from infinito.seeding import child_seed
from infinito.storage import locked, written_whole
from infinito.tasks.adamw import adamw_and_schedule, clipped_norm
from infinito.tasks.language_model import seed_device
from infinito.tasks.metric_means import MetricMeans
from infinito.tasks.schedule import Plateau
from infinito.trainer.checkpoint_io import FORMAT
from infinito.trainer.loading import MODEL_PREFIX, check_fits


class DpoPolicyTask(LightningModule):
    """Preference tuning of any causal language model, with adapters or without.

    A batch is a `PairBatch`. Losses are computed in float64 from sums in float64.

    Args:
        model: The policy.
        layout: How the policy is given its pairs; the batches must be laid out so.
        objective: What is minimised.
        optimizer: AdamW and its schedule.
        total_steps: Optimizer steps of the whole training, where the cosine ends.
        reference: Where the reference's log-probabilities come from.
        dropout: Train with the model's dropout; without, policy and reference agree exactly at
            the start.
        seed: Randomness inside batch n is a function of (seed, n, rank).
        statistics_every: Batches between those whose tokens' entropy, logits and accuracy are
            computed, too: a further pass over all logits.
        fault_folder: Where a batch with a loss that is not finite is written.
        description: Plain values that make a checkpoint readable on its own.
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
        super().__init__()
        self.model = model
        self.layout, self.objective, self.reference = layout, objective, reference
        self.settings, self.total_steps = optimizer, total_steps
        self.dropout, self.seed = dropout, seed
        self.statistics_every = statistics_every
        self.fault_folder = fault_folder
        self.description = description or {}
        self.trained = [each for each in model.parameters() if each.requires_grad]
        self.training_means, self.held_out_means = MetricMeans(), MetricMeans()
        self.last_loss: Tensor | None = None
        self.last_gradient_norm: Tensor | None = None
        self.plateau = Plateau(optimizer.plateau_factor, optimizer.plateau_patience)
        self.strict_loading = not rests_on_base(model)

    def forward(
        self, batch: PairBatch, statistics: bool = False
    ) -> tuple[PairLogProbs, TokenScores]:
        """What policy and reference say of a batch; with `statistics`, of each token more."""
        reference = self.reference(batch).chunk(2)
        scores = answer_scores(self.model, batch, self.layout.head, statistics)
        return PairLogProbs(*scores.log_probs.chunk(2), *reference, *batch.tokens.chunk(2)), (
            scores.tokens
        )

    def setup(self, stage: str) -> None:
        """Puts the policy in training mode until the training starts: Lightning warns else."""
        if stage == "fit":
            self.model.train()

    def on_train_start(self) -> None:
        """Sets the policy's mode: a loaded model comes in evaluation mode, a new one does not."""
        self.model.train(self.dropout)

    def training_step(self, batch: PairBatch, batch_idx: int) -> Tensor:
        """The mean loss over the pairs of a batch, of all processes together."""
        if self.dropout:
            seed = child_seed(self.seed, "step", batch_idx, self.global_rank)
            seed_device(seed, batch.targets.device)
        statistics = (batch_idx + 1) % self.statistics_every == 0
        loss, metrics = self._judge(batch, statistics)
        if not torch.isfinite(loss):
            raise NonFiniteError(self._fault(batch, float(loss.detach())))
        self.last_loss = loss.detach()
        self.training_means.add(metrics, batch.pairs)
        return loss

    def validation_step(self, batch: PairBatch, batch_idx: int) -> None:
        """Adds a batch to the means over the held-out pairs."""
        _, metrics = self._judge(batch, statistics=True)
        self.held_out_means.add(metrics, batch.pairs)

    def on_validation_epoch_end(self) -> None:
        """Reports the means over the held-out pairs and lets the plateau schedule judge the loss.

        Raises:
            NonFiniteError: the loss is not finite.
        """
        means = self.held_out_means.take(self.trainer.strategy)
        if not torch.isfinite(torch.tensor(means["loss"])):
            raise NonFiniteError(
                f"step {self.global_step}: the held-out loss is {means['loss']}. "
                "The last good checkpoint is kept. Try a smaller `optimizer.lr`."
            )
        named = {f"val/{name}": value for name, value in means.items()}
        self.log_dict(named, logger=False, batch_size=1)
        if self.settings.schedule == "plateau":
            self.plateau.judge(means["loss"])

    def configure_gradient_clipping(self, *_: Any, **__: Any) -> None:
        """Clips the gradient, and refuses a step from one that is not finite.

        Raises:
            NonFiniteError: names the step; no weight has been touched by it.
        """
        norm = clipped_norm(self.trained, self.settings.clip_norm)
        self.last_gradient_norm = norm
        scales_loss = self.trainer.precision == "16-mixed"  # skips such steps by design
        if not torch.isfinite(norm) and not scales_loss:
            raise NonFiniteError(
                f"step {self.global_step + 1}: the gradient norm is {norm:g} at a loss of "
                f"{self.last_loss:g}, so training stopped before the step. The last good "
                f"checkpoint is kept. Try a smaller `optimizer.lr` (now {self.settings.lr:g})."
            )

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimizer and the schedule, in Lightning's form."""
        optimizer, schedule = self.optimizer_and_schedule()
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def optimizer_and_schedule(self) -> tuple[torch.optim.AdamW, LambdaLR]:
        """AdamW over what is trained, and its learning rate."""
        return adamw_and_schedule(
            self.trained, self.settings, self.total_steps, lambda: self.plateau.scale
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what makes the checkpoint readable without its run folder."""
        checkpoint["infinito"] = {"format": FORMAT, **self.description}
        checkpoint["state_dict"] = additions(self.model, checkpoint["state_dict"], MODEL_PREFIX)
        checkpoint["plateau"] = self.plateau.state_dict()
        checkpoint["training_means"] = self.training_means.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes back the plateau's state and the figures that are not logged yet.

        Raises:
            CheckpointError: it holds adapters of another base model.
        """
        check_fits(self.model, checkpoint)
        self.plateau = Plateau(**checkpoint["plateau"])
        self.training_means.load_state_dict(checkpoint["training_means"])

    def _judge(self, batch: PairBatch, statistics: bool) -> tuple[Tensor, dict[str, Tensor]]:
        """What to minimise on a batch, and its figures; the two losses differ by `share` alone."""
        pairs, tokens = self(batch, statistics)
        losses = self.objective(pairs) * batch.weights
        metrics = {"loss": losses.mean(), **pair_metrics(pairs, self.objective.beta)}
        if statistics:
            assert tokens.entropy is not None
            assert tokens.mean_logits is not None
            assert tokens.is_top is not None
            of_chosen = batch.answers < batch.pairs
            metrics |= token_metrics(tokens.entropy, tokens.mean_logits, tokens.is_top, of_chosen)
        return losses.sum() * batch.share, metrics

    def _fault(self, batch: PairBatch, loss: float) -> str:
        """Writes a batch down and says what is wrong with it."""
        rows = batch.rows.tolist()
        where = ""
        if self.fault_folder is not None:
            path = self.fault_folder / f"batch_not_finite_rank{self.global_rank}.json"
            content = {
                "rows": rows,
                "tokens": batch.tokens.tolist(),
                "input_ids": [part["input_ids"].tolist() for part in batch.inputs],
                "reference": None if batch.reference is None else batch.reference.tolist(),
            }
            with locked(path), written_whole(path) as file:
                file.write(json.dumps(content).encode())
            where = f" The batch is written to {path}."
        return (
            f"step {self.global_step + 1}: the loss is {loss:g} on the pairs of rows "
            f"{', '.join(map(str, rows))}, so training stopped before the step.{where} The last "
            f"good checkpoint is kept. Try a smaller `optimizer.lr` (now {self.settings.lr:g})."
        )
