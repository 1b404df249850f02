"""Models that train side by side do what each would do alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from infinito.config import MemoryConf, RunConf
from infinito.models.assembly import build_language_model
from infinito.models.memory.model import with_memory
from infinito.models.observation.watching import observed
from infinito.objectives.language import cross_entropy
from infinito.objectives.phi import Calibration, band_loss, phi
from infinito.rl.environment.shared_parts import SharedParts
from infinito.rl.environment.stacked_models import InnerTraining, StackedModels

SGD = InnerTraining(lr=0.05, phi_sequences=2)


@pytest.fixture
def windows(shared: SharedParts) -> Tensor:
    return shared.windows.sample([(0, index) for index in range(3)], 2, 2)


def trained(
    models: StackedModels, windows: Tensor, text: float = 1.0, phi_weight: float = 0.5
) -> None:
    for batch in windows:
        ones = torch.ones(models.count)
        models.train(batch, text * ones, phi_weight * ones)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_one_pass_equals_one_by_one(shared: SharedParts, windows: Tensor, optimizer: str) -> None:
    settings = replace(SGD, optimizer=optimizer, lr=0.01)
    together = StackedModels(shared.model, 3, settings)
    alone = StackedModels(shared.model, 3, replace(settings, vectorised=False))
    for models in (together, alone):
        trained(models, windows)
    assert not torch.equal(together.weights, StackedModels(shared.model, 3, settings).weights)
    torch.testing.assert_close(together.weights, alone.weights, rtol=1e-4, atol=1e-5)
    for one, other in zip(
        together.measure(shared.windows.probe), alone.measure(shared.windows.probe), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_a_step_is_that_of_torch(
    shared: SharedParts, windows: Tensor, rl_configured: Callable[..., RunConf]
) -> None:
    """Against torch's SGD and clipping, and Φ as training of language models takes it."""
    run = rl_configured()
    model = build_language_model(run, shared.model.config.vocab_size, None)
    model.load_state_dict(shared.model.state_dict())
    calibration = Calibration(2.0, -8.0)
    models = StackedModels(shared.model, 1, SGD, calibration)
    own = torch.optim.SGD(model.parameters(), lr=SGD.lr, momentum=SGD.momentum)
    for batch in windows[:, :1]:
        with observed(model) as seen:
            logits = model(input_ids=batch[0, :, :-1], use_cache=False).logits
        value = calibration(phi(seen.components())[:2].mean())
        loss = 0.5 * cross_entropy(logits, batch[0, :, 1:]) + 0.5 * band_loss(value)
        own.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), SGD.clip_norm)
        own.step()
        models.train(batch, torch.tensor([0.5]), torch.tensor([0.5]))
    expected = dict(model.named_parameters())
    for name, value in models.get_parameters(0).items():
        torch.testing.assert_close(value, expected[name].detach(), rtol=1e-4, atol=1e-5)


def test_inside_the_band_phi_has_no_gradient(shared: SharedParts, windows: Tensor) -> None:
    inside = StackedModels(shared.model, 3, SGD, Calibration(0.0, 4.5))
    before = inside.weights.detach().clone()
    trained(inside, windows, text=0.0, phi_weight=1.0)
    assert torch.equal(inside.weights, before)


def test_models_do_not_touch_each_other(shared: SharedParts, windows: Tensor) -> None:
    models = StackedModels(shared.model, 3, SGD)
    other = windows.clone()
    other[:, 1] = windows[:, 0]
    trained(models, windows)
    again = StackedModels(shared.model, 3, SGD)
    trained(again, other)
    assert torch.equal(models.weights[0], again.weights[0])
    assert torch.equal(models.weights[2], again.weights[2])
    assert not torch.equal(models.weights[1], again.weights[1])


def test_a_rate_of_zero_changes_nothing(shared: SharedParts, windows: Tensor) -> None:
    models = StackedModels(shared.model, 3, replace(SGD, lr=0.0))
    before = models.weights.detach().clone()
    trained(models, windows)
    assert torch.equal(models.weights, before)


def test_measuring_changes_nothing(shared: SharedParts) -> None:
    models = StackedModels(shared.model, 2, SGD)
    before, generator = models.weights.detach().clone(), torch.get_rng_state()
    models.measure(shared.windows.probe)
    assert torch.equal(models.weights, before)
    assert torch.equal(torch.get_rng_state(), generator)


def test_set_state_restores_the_weights_and_resets_the_optimizer(
    shared: SharedParts, windows: Tensor
) -> None:
    models = StackedModels(shared.model, 3, replace(SGD, optimizer="adam"))
    start = models.get_state(1)
    trained(models, windows)
    models.set_state(1, start)
    assert torch.equal(models.weights[1], start["weights"])
    assert models.steps[:, 0].tolist() == [2, 0, 2]
    assert not models.first_moments[1].any()
    assert models.first_moments[0].any()


def test_a_memory_is_written_and_its_use_measured(shared: SharedParts, windows: Tensor) -> None:
    """One by one, for a memory that is written into cannot be vectorised."""
    settings = replace(SGD, vectorised=False)
    model = with_memory(shared.model, MemoryConf(name="integration", slots=8, segment=8, top_k=2))
    models = StackedModels(model, 2, settings)
    assert models.measure(shared.windows.probe).memory_use.tolist() == [0, 0]
    models.train(windows[0, :2], torch.ones(2), torch.ones(2))
    use = models.measure(shared.windows.probe).memory_use
    assert (use > 0).all()
    assert (models.measure(shared.windows.probe).memory_use == use).all()


def test_a_saved_state_goes_on_with_the_same_bits(shared: SharedParts, windows: Tensor) -> None:
    whole, stopped = (StackedModels(shared.model, 3, SGD) for _ in range(2))
    trained(whole, windows)
    trained(stopped, windows[:1])
    resumed = StackedModels(shared.model, 3, SGD)
    resumed.load_state_dict(stopped.state_dict())
    trained(resumed, windows[1:])
    assert torch.equal(whole.weights, resumed.weights)
    assert torch.equal(whole.first_moments, resumed.first_moments)
