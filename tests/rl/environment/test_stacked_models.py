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
from infinito.models.watching import observed
from infinito.objectives.language import cross_entropy
from infinito.objectives.phi import Calibration, band_loss, phi
from infinito.rl.environment.shared_parts import Ground
from infinito.rl.environment.stacked_models import InnerTraining, Learners

SGD = InnerTraining(lr=0.05, phi_sequences=2)


@pytest.fixture
def windows(ground: Ground) -> Tensor:
    return ground.text.drawn([(0, index) for index in range(3)], 2, 2)


def trained(
    learners: Learners, windows: Tensor, text: float = 1.0, phi_weight: float = 0.5
) -> None:
    for batch in windows:
        ones = torch.ones(learners.count)
        learners.train(batch, text * ones, phi_weight * ones)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_one_pass_equals_one_by_one(ground: Ground, windows: Tensor, optimizer: str) -> None:
    settings = replace(SGD, optimizer=optimizer, lr=0.01)
    together = Learners(ground.model, 3, settings)
    alone = Learners(ground.model, 3, replace(settings, vectorised=False))
    for learners in (together, alone):
        trained(learners, windows)
    assert not torch.equal(together.weights, Learners(ground.model, 3, settings).weights)
    torch.testing.assert_close(together.weights, alone.weights, rtol=1e-4, atol=1e-5)
    for one, other in zip(
        together.measure(ground.text.probe), alone.measure(ground.text.probe), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_a_step_is_that_of_torch(
    ground: Ground, windows: Tensor, rl_configured: Callable[..., RunConf]
) -> None:
    """Against torch's SGD and clipping, and Φ as training of language models takes it."""
    run = rl_configured()
    model = build_language_model(run, ground.model.config.vocab_size, None)
    model.load_state_dict(ground.model.state_dict())
    calibration = Calibration(2.0, -8.0)
    learners = Learners(ground.model, 1, SGD, calibration)
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
        learners.train(batch, torch.tensor([0.5]), torch.tensor([0.5]))
    expected = dict(model.named_parameters())
    for name, value in learners.named(0).items():
        torch.testing.assert_close(value, expected[name].detach(), rtol=1e-4, atol=1e-5)


def test_inside_the_band_phi_has_no_gradient(ground: Ground, windows: Tensor) -> None:
    inside = Learners(ground.model, 3, SGD, Calibration(0.0, 4.5))
    before = inside.weights.detach().clone()
    trained(inside, windows, text=0.0, phi_weight=1.0)
    assert torch.equal(inside.weights, before)


def test_models_do_not_touch_each_other(ground: Ground, windows: Tensor) -> None:
    learners = Learners(ground.model, 3, SGD)
    other = windows.clone()
    other[:, 1] = windows[:, 0]
    trained(learners, windows)
    again = Learners(ground.model, 3, SGD)
    trained(again, other)
    assert torch.equal(learners.weights[0], again.weights[0])
    assert torch.equal(learners.weights[2], again.weights[2])
    assert not torch.equal(learners.weights[1], again.weights[1])


def test_a_rate_of_zero_changes_nothing(ground: Ground, windows: Tensor) -> None:
    learners = Learners(ground.model, 3, replace(SGD, lr=0.0))
    before = learners.weights.detach().clone()
    trained(learners, windows)
    assert torch.equal(learners.weights, before)


def test_measuring_changes_nothing(ground: Ground) -> None:
    learners = Learners(ground.model, 2, SGD)
    before, generator = learners.weights.detach().clone(), torch.get_rng_state()
    learners.measure(ground.text.probe)
    assert torch.equal(learners.weights, before)
    assert torch.equal(torch.get_rng_state(), generator)


def test_put_and_taken_restore_a_state_with_a_fresh_optimizer(
    ground: Ground, windows: Tensor
) -> None:
    learners = Learners(ground.model, 3, replace(SGD, optimizer="adam"))
    start = learners.taken(1)
    trained(learners, windows)
    learners.put(1, start)
    assert torch.equal(learners.weights[1], start["weights"])
    assert learners.steps[:, 0].tolist() == [2, 0, 2]
    assert not learners.first_moments[1].any()
    assert learners.first_moments[0].any()


def test_a_memory_is_written_and_its_use_is_seen(ground: Ground, windows: Tensor) -> None:
    """One by one, for a memory that is written into cannot be vectorised."""
    settings = replace(SGD, vectorised=False)
    model = with_memory(ground.model, MemoryConf(name="integration", slots=8, segment=8, top_k=2))
    learners = Learners(model, 2, settings)
    assert learners.measure(ground.text.probe).memory_use.tolist() == [0, 0]
    learners.train(windows[0, :2], torch.ones(2), torch.ones(2))
    use = learners.measure(ground.text.probe).memory_use
    assert (use > 0).all()
    assert (learners.measure(ground.text.probe).memory_use == use).all()


def test_a_saved_state_goes_on_with_the_same_bits(ground: Ground, windows: Tensor) -> None:
    whole, stopped = (Learners(ground.model, 3, SGD) for _ in range(2))
    trained(whole, windows)
    trained(stopped, windows[:1])
    resumed = Learners(ground.model, 3, SGD)
    resumed.load_state_dict(stopped.state_dict())
    trained(resumed, windows[1:])
    assert torch.equal(whole.weights, resumed.weights)
    assert torch.equal(whole.first_moments, resumed.first_moments)
