"""Optimizer, schedule, clipping and checkpoints of every task that trains a language model."""

from __future__ import annotations

from typing import Any

import torch
from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import PreTrainedModel

from infinito.config import AdamWConf, MuonConf
from infinito.errors import NonFiniteError
from infinito.models.checkpoint_file import FORMAT
from infinito.models.pretrained.base_weights import additions, rests_on_base
from infinito.models.trained import MODEL_PREFIX, check_fits
from infinito.seeding import child_seed, seed_device
from infinito.training.distributed.sharding import is_sharded, shard
from infinito.training.optimizer.assembly import build_optimizer
from infinito.training.optimizer.clipping import clip_gradients
from infinito.training.optimizer.lean_adamw import LeanAdamW
from infinito.training.optimizer.rate_schedule import Plateau, rate_factor


class OptimizedTask(LightningModule):
    """Optimizer, schedule, clipping and checkpoints of a task; its steps are the subclass's.

    A subclass sets `last_loss` in each step and calls `judge_validation` after each validation.

    Args:
        model: The language model.
        optimizer: The optimizer and its schedule.
        total_steps: Optimizer steps of the whole training, where the schedule ends.
        seed: Randomness inside batch n is a function of (seed, n, rank).
        description: Plain values that make a checkpoint readable on its own (model configuration,
            tokenizer).
    """

    def __init__(
        self,
        model: PreTrainedModel,
        optimizer: AdamWConf,
        total_steps: int,
        seed: int = 0,
        description: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.settings, self.total_steps = optimizer, total_steps
        self.seed = seed
        self.description = description or {}
        self.trained = [each for each in model.parameters() if each.requires_grad]
        self.last_loss: Tensor | None = None
        self.last_gradient_norm: Tensor | None = None
        self.plateau = Plateau(optimizer.plateau_factor, optimizer.plateau_patience)
        self.strict_loading = not rests_on_base(model)

    def configure_model(self) -> None:
        """Spread the model over the processes, where the strategy does."""
        if self.device_mesh is None or is_sharded(self.model):
            return
        shard(self.model, self.device_mesh["data_parallel"])
        self.trained = [each for each in self.model.parameters() if each.requires_grad]

    def seed_step(self, batch_idx: int, device: torch.device) -> None:
        """Seeds what a training step draws, by its number alone."""
        seed_device(child_seed(self.seed, "step", batch_idx, self.global_rank), device)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return the optimizer and the schedule, in Lightning's form."""
        optimizer, schedule = self.optimizer_and_schedule()
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def optimizer_and_schedule(self) -> tuple[Optimizer, LambdaLR]:
        """Return the optimizer, and the schedule that all of its rates follow."""
        optimizer = build_optimizer(self.model, self.settings)
        factor = rate_factor(
            self.settings.schedule,
            self.settings.warmup_steps,
            self.total_steps,
            self.settings.min_lr_ratio,
            self.settings.decay_share,
        )
        return optimizer, LambdaLR(optimizer, lambda step: factor(step) * self.plateau.scale)

    def configure_gradient_clipping(self, optimizer: Optimizer, *_: Any, **__: Any) -> None:
        """Clips the gradient, and refuses a step from a loss or gradient that is not finite.

        Raises:
            NonFiniteError: names the step and the batch; no weight has been touched by it, but
                where the optimizer updates them in the backward pass.
        """
        in_backward = isinstance(optimizer, LeanAdamW) and optimizer.in_backward
        if isinstance(optimizer, LeanAdamW) and in_backward:
            norm = optimizer.gradient_norm(self.trained)  # all of them are freed
        else:
            norm = clip_gradients(self.trained, self.settings.clip_norm)
        self.last_gradient_norm = norm
        scales_loss = self.trainer.precision == "16-mixed"  # skips such steps by design
        if not torch.isfinite(norm) and not scales_loss:
            raise NonFiniteError(
                f"step {self.global_step + 1} (batch {self.trainer.fit_loop.total_batch_idx + 1}): "
                f"the loss is {self.last_loss:g} and the gradient norm {norm:g}, so training "
                f"stopped{'' if in_backward else ' before the step'}. The last good checkpoint is "
                f"kept. Try a smaller {self._rates()}, a longer `optimizer.warmup_steps`, or "
                f"`{'optimizer.in_backward=false ' if in_backward else ''}optimizer.clip_norm=1.0`."
            )

    def _rates(self) -> str:
        """Return the peak rates as overrides, for error messages."""
        rates = f"`optimizer.lr` (now {self.settings.lr:g})"
        if isinstance(self.settings, MuonConf):
            rates += f" or `optimizer.matrix_lr` (now {self.settings.matrix_lr:g})"
        return rates

    def judge_validation(self, loss: float) -> None:
        """Lets the plateau schedule see a validation loss.

        Raises:
            NonFiniteError: the loss is not finite.
        """
        if not torch.isfinite(torch.tensor(loss)):
            raise NonFiniteError(
                f"step {self.global_step}: the validation loss is {loss}. "
                f"The last good checkpoint is kept. Try a smaller {self._rates()}."
            )
        if self.settings.schedule == "plateau":
            self.plateau.judge(loss)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what makes the checkpoint readable without its run folder."""
        checkpoint["infinito"] = {"format": FORMAT, **self.description}
        checkpoint["state_dict"] = additions(self.model, checkpoint["state_dict"], MODEL_PREFIX)
        checkpoint["plateau"] = self.plateau.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes the plateau's state back.

        Raises:
            CheckpointError: it holds adapters of another base model.
        """
        check_fits(self.model, checkpoint)
        self.plateau = Plateau(**checkpoint["plateau"])
