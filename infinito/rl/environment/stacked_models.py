"""Copies of one causal language model that train side by side, each with its own weights and text.

Parameters are stacked, (models, …), and one vectorised forward and backward pass serves all copies:
for models this small the time goes into calling operations, not into their arithmetic. A model
whose forward pass cannot be vectorised runs copy by copy instead; everything else is the same.

Source: `torch.func.vmap` over stacked parameters, as in PyTorch's tutorial on model ensembling.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.func import functional_call, vmap
from transformers import PreTrainedModel

from infinito.attention.watching import row_entropy
from infinito.models.observation.watching import last_call, observed
from infinito.objectives.language import cross_entropy
from infinito.objectives.phi import Calibration, band_loss, phi, phi_components, sampled_rows
from infinito.rl.environment.metrics import Metrics

State = dict[str, Tensor]


@dataclass(frozen=True)
class InnerTraining:
    """Optimizer and batch settings of the language models in an environment."""

    lr: float
    """Learning rate; 0 makes the null environment."""
    optimizer: str = "sgd"
    """`sgd` with momentum, or `adam`, whose step hardly depends on the weight of a loss."""
    momentum: float = 0.9
    """Momentum of SGD, first β of Adam."""
    clip_norm: float = 1.0
    """Largest norm of the gradient of a model's weighted loss."""
    phi_sequences: int = 4
    """Sequences of a batch whose Φ is computed."""
    vectorised: bool = True
    """Run all models in one pass; false runs them one by one."""


class ForwardOutputs(NamedTuple):
    """Outputs of a forward pass on each model's batch, (models, …)."""

    loss_text: Tensor
    """Language loss, nats per token, (models,)."""
    hidden: Tensor
    """Last hidden states, (models, sequences, time, dim)."""
    row_entropy: Tensor
    """Row entropy of the last attention (see `phi_components`), (models, sequences, rows)."""


class StackedModels:
    """`count` copies of a model, each with weights and optimizer state of its own.

    The trained parameters of a copy are one row of a matrix, in the order of the model's names.

    Args:
        model: The language model; its own weights are not changed.
        count: Number of copies.
        training: Optimizer and batch settings.
        calibration: Calibration of Φ; None leaves Φ uncalibrated.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        count: int,
        training: InnerTraining,
        calibration: Calibration | None = None,
    ) -> None:
        self.model, self.count, self.training = model, count, training
        self.calibration = calibration or Calibration()
        if training.vectorised:  # vmap cannot run through a fused attention kernel
            model.set_attn_implementation("eager")
        trained = {
            name: value.detach() for name, value in model.named_parameters() if value.requires_grad
        }
        self.shapes = {name: value.shape for name, value in trained.items()}
        row = torch.cat([value.flatten() for value in trained.values()])
        self.weights = row.repeat(count, 1).requires_grad_()  # (models, parameters)
        self.first_moments = torch.zeros_like(row).repeat(count, 1)
        self.second_moments = self.first_moments.clone()
        self.steps = torch.zeros(count, 1, device=row.device)
        self.buffers = {
            name: torch.stack([value.detach()] * count) for name, value in model.named_buffers()
        }

    def train(
        self,
        windows: Tensor,
        text_weights: Tensor,
        phi_weights: Tensor,
        phi_loss: Callable[[Tensor], Tensor] = band_loss,
    ) -> None:
        """Take one optimizer step of each model.

        Args:
            windows: Token ids (models, batch, block + 1).
            text_weights: Weights of the language loss, (models,).
            phi_weights: Weights of the loss of Φ, (models,); Φ is not computed where they are 0.
            phi_loss: Maps calibrated Φ (models,) to a loss of the same shape.
        """
        self.model.train()
        outputs = self._forward(windows)
        loss = text_weights * outputs.loss_text
        weighted = phi_weights.nonzero()[:, 0]
        if len(weighted):
            values = torch.zeros_like(loss).index_put(
                (weighted,),
                self._compute_phi(outputs.hidden[weighted], outputs.row_entropy[weighted]),
            )
            loss = loss + torch.where(phi_weights > 0, phi_weights * phi_loss(values), 0.0)
        (gradient,) = torch.autograd.grad(loss.sum(), self.weights)
        self._step(gradient)

    @torch.no_grad()
    def measure(self, windows: Tensor) -> Metrics:
        """Return the metrics of every model on one batch (batch, block + 1), in evaluation mode."""
        self.model.eval()
        outputs = self._forward(windows.expand(self.count, *windows.shape))
        values = self._compute_phi(outputs.hidden, outputs.row_entropy)
        columns = (outputs.loss_text, values, band_loss(values), self.memory_use())
        return Metrics(*(column.double().cpu().numpy() for column in columns))

    def memory_use(self) -> Tensor:
        """Return the share of memory slots that hold something, (models,); 0 without a memory."""
        slots = [value for name, value in self.buffers.items() if name.endswith("memory.alive")]
        return slots[0].float().mean(1) if slots else self.weights.new_zeros(self.count)

    @torch.no_grad()
    def set_state(self, index: int, state: State) -> None:
        """Set the weights of model `index` and reset its optimizer."""
        self.weights[index] = state["weights"]
        for name, value in self.buffers.items():
            value[index] = state[name]
        for each in (self.first_moments, self.second_moments, self.steps):
            each[index] = 0

    def get_state(self, index: int) -> State:
        """Return a copy of the weights of model `index`, which `set_state` restores."""
        kept = {"weights": self.weights, **self.buffers}
        return {name: value[index].detach().clone() for name, value in kept.items()}

    def get_parameters(self, index: int) -> State:
        """Return the trained parameters of model `index` by the model's own names."""
        return self._unflatten(self.weights[index].detach().clone())

    def state_dict(self) -> dict[str, Any]:
        """Return everything that training changes, in a form that a checkpoint can hold."""
        return {name: getattr(self, name).detach() for name in CHANGING} | {"buffers": self.buffers}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state of equally many copies of the same model."""
        for name in CHANGING:
            getattr(self, name).copy_(state[name])
        for name, value in self.buffers.items():
            value.copy_(state["buffers"][name])

    def _unflatten(self, row: Tensor) -> State:
        parts = row.split([shape.numel() for shape in self.shapes.values()])
        return {
            name: part.view(shape)
            for part, (name, shape) in zip(parts, self.shapes.items(), strict=True)
        }

    def _forward(self, windows: Tensor) -> ForwardOutputs:
        if self.training.vectorised:
            call = vmap(self._forward_one, randomness="different")
            return ForwardOutputs(*call(self.weights, self.buffers, windows))
        each = [
            self._forward_one(
                self.weights[index],
                {name: value[index] for name, value in self.buffers.items()},
                windows[index],
            )
            for index in range(self.count)
        ]
        return ForwardOutputs(*map(torch.stack, zip(*each, strict=True)))

    def _forward_one(self, row: Tensor, buffers: State, windows: Tensor) -> ForwardOutputs:
        inputs = {"input_ids": windows[:, :-1], "use_cache": False}
        with observed(self.model) as seen:
            outputs = functional_call(self.model, (self._unflatten(row), buffers), (), inputs)
        assert seen.hidden is not None
        count = self.training.phi_sequences
        rows = sampled_rows(seen.hidden.shape[1], seen.hidden.device)
        return ForwardOutputs(
            cross_entropy(outputs.logits, windows[:, 1:]),
            seen.hidden[:count],
            row_entropy(last_call(seen.calls), rows)[:count],
        )

    def _compute_phi(self, hidden: Tensor, entropy: Tensor) -> Tensor:
        """Return calibrated Φ, mean over the sequences of each model's batch, (models,)."""
        models = len(hidden)
        components = phi_components(hidden.flatten(0, 1), entropy.flatten(0, 1))
        return self.calibration(phi(components).unflatten(0, (models, -1)).mean(1))  # (models,)

    @torch.no_grad()
    def _step(self, gradient: Tensor) -> None:
        """Clip each model's gradient (models, parameters) and take the optimizer's step."""
        settings, first = self.training, self.first_moments
        norm = gradient.norm(dim=1, keepdim=True)  # (models, 1)
        gradient = gradient * (settings.clip_norm / (norm + 1e-6)).clamp(max=1.0)
        self.steps += 1
        if settings.optimizer == "sgd":
            change = first.mul_(settings.momentum).add_(gradient)
        else:
            second, decay = self.second_moments, settings.momentum
            first.lerp_(gradient, 1 - decay)
            second.lerp_(gradient.square(), 1 - SECOND_DECAY)
            scale = (1 - SECOND_DECAY**self.steps).sqrt() / (1 - decay**self.steps)
            change = scale * first / (second.sqrt() + EPSILON)
        self.weights.sub_(change, alpha=settings.lr)


CHANGING = ("weights", "first_moments", "second_moments", "steps")
"""Tensors (models, …) that training changes and a checkpoint keeps."""
SECOND_DECAY = 0.95
"""Second β of Adam."""
EPSILON = 1e-8
