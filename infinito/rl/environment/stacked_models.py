"""Copies of one causal language model that train side by side, each on its own text and weights.

Parameters are stacked, (models, …), and one vectorised forward and backward pass serves all: for
models this small the time goes into calling operations, not into their arithmetic. A model whose
forward pass cannot be vectorised goes one by one instead; everything else is the same.
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
from infinito.models.watching import last_call, observed
from infinito.objectives.language import cross_entropy
from infinito.objectives.phi import Calibration, band_loss, phi, phi_components, sampled_rows
from infinito.rl.environment.metrics import Metrics

State = dict[str, Tensor]


@dataclass(frozen=True)
class InnerTraining:
    """How the language models of an environment train."""

    lr: float
    """0 for the null environment."""
    optimizer: str = "sgd"
    """`sgd` with momentum, or `adam`, which all but divides a loss's weight out."""
    momentum: float = 0.9
    """Also the first β of Adam."""
    clip_norm: float = 1.0
    """Largest norm of the gradient of a model's weighted loss."""
    phi_sequences: int = 4
    """Sequences of a batch whose Φ is taken."""
    vectorised: bool = True
    """One pass for all models; false to call the models one by one."""


class ForwardOutputs(NamedTuple):
    """Of each model's batch, (models, …)."""

    loss_text: Tensor
    """Nats per token, (models,)."""
    hidden: Tensor
    """What the trunk gave, (models, sequences, time, dim)."""
    row_entropy: Tensor
    """Of the last layer's attention, see `phi_components`, (models, sequences, rows)."""


class StackedModels:
    """`count` copies of a model with a state each.

    The trained parameters of a copy are one row of a matrix, in the order of the model's names.

    Args:
        model: The language model; its own weights are not touched.
        count: Copies.
        training: How they train.
        calibration: Of Φ.
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
        if training.vectorised:  # no fused attention is
            model.set_attn_implementation("eager")
        trained = {
            name: value.detach() for name, value in model.named_parameters() if value.requires_grad
        }
        self.shapes = {name: value.shape for name, value in trained.items()}
        row = torch.cat([value.flatten() for value in trained.values()])
        self.weights = row.repeat(count, 1).requires_grad_()
        self.first_moments = torch.zeros_like(row).repeat(count, 1)
        self.second_moments = self.first_moments.clone()
        self.steps = torch.zeros(count, 1)
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
        """Takes one optimizer step of each model.

        Args:
            windows: Token ids (models, batch, block + 1).
            text_weights: Of the language loss, (models,).
            phi_weights: Of the loss of Φ, (models,); where 0, Φ is not computed.
            phi_loss: Maps calibrated Φ (models,) to a loss of the same shape.
        """
        self.model.train()
        readings = self._forward(windows)
        loss = text_weights * readings.loss_text
        asked = phi_weights.nonzero()[:, 0]
        if len(asked):
            values = torch.zeros_like(loss).index_put(
                (asked,), self._phi(readings.hidden[asked], readings.row_entropy[asked])
            )
            loss = loss + torch.where(phi_weights > 0, phi_weights * phi_loss(values), 0.0)
        (gradient,) = torch.autograd.grad(loss.sum(), self.weights)
        self._step(gradient)

    @torch.no_grad()
    def measure(self, windows: Tensor) -> Metrics:
        """Return the metrics of every model on one batch (batch, block + 1), in evaluation mode."""
        self.model.eval()
        readings = self._forward(windows.expand(self.count, *windows.shape))
        values = self._phi(readings.hidden, readings.row_entropy)
        columns = (readings.loss_text, values, band_loss(values), self.memory_use())
        return Metrics(*(column.double().numpy() for column in columns))

    def memory_use(self) -> Tensor:
        """Return the share of written memory slots, (models,); 0 without a memory."""
        slots = [value for name, value in self.buffers.items() if name.endswith("memory.alive")]
        return slots[0].float().mean(1) if slots else torch.zeros(self.count)

    @torch.no_grad()
    def put(self, index: int, state: State) -> None:
        """Gives model `index` the weights of a state and an optimizer that has not stepped."""
        self.weights[index] = state["weights"]
        for name, value in self.buffers.items():
            value[index] = state[name]
        for each in (self.first_moments, self.second_moments, self.steps):
            each[index] = 0

    def taken(self, index: int) -> State:
        """Return a copy of the weights of model `index`, for `put`."""
        kept = {"weights": self.weights, **self.buffers}
        return {name: value[index].detach().clone() for name, value in kept.items()}

    def named(self, index: int) -> State:
        """Return the trained parameters of model `index` by the model's own names."""
        return self._parameters(self.weights[index].detach().clone())

    def state_dict(self) -> dict[str, Any]:
        """Return everything that changes, as a checkpoint takes it."""
        return {name: getattr(self, name).detach() for name in CHANGING} | {"buffers": self.buffers}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes a state of as many copies of the same model."""
        for name in CHANGING:
            getattr(self, name).copy_(state[name])
        for name, value in self.buffers.items():
            value.copy_(state["buffers"][name])

    def _parameters(self, row: Tensor) -> State:
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
            outputs = functional_call(self.model, (self._parameters(row), buffers), (), inputs)
        assert seen.hidden is not None
        count = self.training.phi_sequences
        rows = sampled_rows(seen.hidden.shape[1], seen.hidden.device)
        return ForwardOutputs(
            cross_entropy(outputs.logits, windows[:, 1:]),
            seen.hidden[:count],
            row_entropy(last_call(seen.calls), rows)[:count],
        )

    def _phi(self, hidden: Tensor, entropy: Tensor) -> Tensor:
        """Return calibrated Φ, mean over the sequences of each model's batch, (models,)."""
        models = len(hidden)
        components = phi_components(hidden.flatten(0, 1), entropy.flatten(0, 1))
        return self.calibration(phi(components).unflatten(0, (models, -1)).mean(1))

    @torch.no_grad()
    def _step(self, gradient: Tensor) -> None:
        """Clips each model's gradient (models, parameters) and takes the optimizer's step."""
        settings, first = self.training, self.first_moments
        norm = gradient.norm(dim=1, keepdim=True)
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
"""Tensors (models, …) that training changes."""
SECOND_DECAY = 0.95
"""The second β of Adam."""
EPSILON = 1e-8
