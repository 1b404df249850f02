"""The states that episodes start from: copies of the base model trained to various values of Φ.

A schedule can earn more than a single action only where the best action depends on the state, so
the start states range from far below the band of Φ to far above it.
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
from infinito.rl.environment.windows import Windows

PHI_RANGE = (1.0, 8.0)
"""Range of the target values of Φ."""
CALIBRATION_BATCHES = 64
START_STATE_LR = 3e-3
"""Adam's learning rate for the base model and the start states."""


@dataclass(frozen=True)
class StartStateSettings:
    """How start states are trained from a base model."""

    seed: int
    count: int
    text_fraction: float = 0.25
    """Fraction of the states trained on text alone; each of the others has a target value of Φ."""
    max_steps: int = 200
    """Largest number of training steps of a state."""
    batch_size: int = 4


@dataclass(frozen=True)
class StartStates:
    """States of one model, with the Φ that each was saved at, float64 (states,)."""

    states: list[State]
    phi: np.ndarray

    def __len__(self) -> int:
        return len(self.states)


def train_base_model(
    model: PreTrainedModel,
    windows: Windows,
    training: InnerTraining,
    steps: int,
    batch: int,
    seed: int,
) -> None:
    """Train a model on text alone, in place."""
    stacked = StackedModels(model, 1, use_start_state_optimizer(training))
    weight = torch.ones(1)
    for step in range(steps):
        stacked.train(windows.sample([(seed, step)], 1, batch)[0], weight, 0 * weight)
    with torch.no_grad():
        own = dict(model.named_parameters())
        for name, value in stacked.get_parameters(0).items():
            own[name].copy_(value)


def fit_calibration(
    model: PreTrainedModel, windows: Windows, training: InnerTraining, seed: int
) -> Calibration:
    """Return the calibration that maps Φ of the model's training batches onto the band."""
    stacked = StackedModels(model, 1, training)
    batches = windows.sample([(seed, 0)], CALIBRATION_BATCHES, training.phi_sequences)[:, 0]
    raw = [stacked.measure(batch).phi[0] for batch in batches]
    return Calibration.fitted(torch.tensor(raw))


def build_start_states(
    model: PreTrainedModel,
    windows: Windows,
    training: InnerTraining,
    calibration: Calibration,
    settings: StartStateSettings,
) -> StartStates:
    """Return start states whose Φ is spread over `PHI_RANGE`, as far as their training reaches.

    Each state is trained for a random number of steps, either on text alone or on nothing but the
    distance of Φ from a target, which in time spoils the language model.

    Raises:
        NonFiniteError: Φ of a state is NaN or infinite.
    """
    count = settings.count
    generator = np.random.default_rng([settings.seed, 0])
    targets = torch.from_numpy(generator.permutation(np.linspace(*PHI_RANGE, count))).float()
    on_text = torch.arange(count) < round(count * settings.text_fraction)
    lengths = generator.integers(
        settings.max_steps // 8, settings.max_steps, size=count, endpoint=True
    )
    models = StackedModels(model, count, use_start_state_optimizer(training), calibration)
    states: list[State] = [{}] * count
    phi = np.zeros(count)
    mend = "Try fewer steps, e.g. `rl.start_state_steps=100`"
    for step in range(settings.max_steps + 1):
        try:
            if (finished := np.flatnonzero(lengths == step)).size:
                measured = models.measure(windows.probe).phi
                for index in finished:
                    states[index], phi[index] = models.get_state(int(index)), measured[index]
            seeds = [(settings.seed, 1, index, step) for index in range(count)]
            batch = windows.sample(seeds, 1, settings.batch_size)[0]
            models.train(batch, on_text.float(), (~on_text).float(), build_target_loss(targets))
        except NonFiniteError:
            raise NonFiniteError(
                f"the start states diverged: Φ is NaN or infinite at step {step}. {mend}"
            ) from None
    if not np.isfinite(phi).all():
        raise NonFiniteError(f"the start states diverged: their Φ is {phi}. {mend}")
    return StartStates(states, phi)


def build_target_loss(targets: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the loss |Φ − target|, a function of Φ (models,)."""
    return lambda phi: (phi - targets).abs()


def use_start_state_optimizer(training: InnerTraining) -> InnerTraining:
    """Return the settings with the optimizer of base model and start states, always Adam."""
    return replace(training, lr=START_STATE_LR, optimizer="adam")
