"""The bank of models that episodes start from: the base model, and it led off to other Φ.

A schedule can be worth something only where the best action depends on the state, so the bank
reaches from far below the band of Φ to far above it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from infinito.errors import NonFiniteError
from infinito.objectives.phi import Calibration
from infinito.rl.environment.stacked_models import InnerTraining, StackedModels, State
from infinito.rl.environment.windows import Text

PHI_RANGE = (1.0, 8.0)
"""Of the Φ that states are led to."""
CALIBRATION_BATCHES = 64
START_STATE_LR = 3e-3
"""Learning rate (Adam) of the training that makes base and bank."""


@dataclass(frozen=True)
class StartStateSettings:
    """How a bank is made of a base model."""

    seed: int
    states: int
    """States to make."""
    text_share: float = 0.25
    """Share of states after text-only steps; the others are led to a Φ of their own."""
    most_steps: int = 200
    """Steps that lead to a state at most."""
    batch_size: int = 4


@dataclass(frozen=True)
class StartStates:
    """States of one model with their Φ when they were taken, float64 (states,)."""

    states: list[State]
    phi: np.ndarray

    def __len__(self) -> int:
        return len(self.states)


def train_base_model(
    model: PreTrainedModel, text: Text, training: InnerTraining, steps: int, batch: int, seed: int
) -> None:
    """Trains a model on text alone, in place."""
    one = StackedModels(model, 1, use_start_state_optimizer(training))
    weight = torch.ones(1)
    for step in range(steps):
        windows = text.drawn([(seed, step)], 1, batch)[0]
        one.train(windows, weight, 0 * weight)
    with torch.no_grad():
        own = dict(model.named_parameters())
        for name, value in one.named(0).items():
            own[name].copy_(value)


def fit_calibration(
    model: PreTrainedModel, text: Text, training: InnerTraining, seed: int
) -> Calibration:
    """The calibration by which Φ of the model's training batches fills the band."""
    one = StackedModels(model, 1, training)
    batches = text.drawn([(seed, 0)], CALIBRATION_BATCHES, training.phi_sequences)[:, 0]
    raw = [one.measure(batch).phi[0] for batch in batches]
    return Calibration.fitted(torch.tensor(raw))


def made(
    model: PreTrainedModel,
    text: Text,
    training: InnerTraining,
    calibration: Calibration,
    recipe: StartStateSettings,
) -> StartStates:
    """States at Φ from `PHI_RANGE`, or as near as their steps lead.

    Each is trained for a number of steps of its own, drawn up to the recipe's most: on the distance
    of Φ from a target alone, which in time spoils the language model, or on text alone.
    """
    count = recipe.states
    draws = np.random.default_rng([recipe.seed, 0])
    targets = torch.from_numpy(draws.permutation(np.linspace(*PHI_RANGE, count))).float()
    by_text = torch.arange(count) < round(count * recipe.text_share)
    lengths = draws.integers(recipe.most_steps // 8, recipe.most_steps, size=count, endpoint=True)
    models = StackedModels(model, count, use_start_state_optimizer(training), calibration)
    states: list[State] = [{}] * count
    phi = np.zeros(count)
    for step in range(recipe.most_steps + 1):
        if (due := np.flatnonzero(lengths == step)).size:
            measured = models.measure(text.probe).phi
            for index in due:
                states[index], phi[index] = models.taken(int(index)), measured[index]
        seeds = [(recipe.seed, 1, index, step) for index in range(count)]
        windows = text.drawn(seeds, 1, recipe.batch_size)[0]
        models.train(windows, by_text.float(), (~by_text).float(), build_target_loss(targets))
    if not np.isfinite(phi).all():
        raise NonFiniteError(f"the start states have Φ {phi}: their training fell apart")
    return StartStates(states, phi)


def build_target_loss(targets: Tensor) -> Callable[[Tensor], Tensor]:
    """A loss that leads Φ to targets, both (models,)."""
    return lambda phi: (phi - targets).abs()


def use_start_state_optimizer(training: InnerTraining) -> InnerTraining:
    """The optimizer that makes base and bank, whatever that of the episodes is."""
    return replace(training, lr=START_STATE_LR, optimizer="adam")
