"""Start states are repeatable, spread over Φ, and refused where their training diverged."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from infinito.errors import NonFiniteError
from infinito.objectives.phi import Calibration
from infinito.rl.environment.shared_parts import SharedParts
from infinito.rl.environment.stacked_models import InnerTraining, StackedModels
from infinito.rl.environment.start_states import (
    StartStates,
    StartStateSettings,
    build_start_states,
    build_target_loss,
    fit_calibration,
)

TRAINING = InnerTraining(lr=0.01, phi_sequences=2)
SETTINGS = StartStateSettings(seed=3, count=4, text_fraction=0.5, max_steps=8, batch_size=2)


def build(shared: SharedParts, seed: int = 3) -> StartStates:
    settings = dataclasses.replace(SETTINGS, seed=seed)
    return build_start_states(shared.model, shared.windows, TRAINING, shared.calibration, settings)


def test_the_seed_fixes_the_states(shared: SharedParts) -> None:
    first, again, other = build(shared), build(shared), build(shared, seed=4)
    for one, same, different in zip(first.states, again.states, other.states, strict=True):
        assert torch.equal(one["weights"], same["weights"])
        assert not torch.equal(one["weights"], different["weights"])


def test_the_recorded_phi_is_that_of_the_state(shared: SharedParts) -> None:
    built = build(shared)
    models = StackedModels(shared.model, len(built), TRAINING, shared.calibration)
    for index, state in enumerate(built.states):
        models.set_state(index, state)
    np.testing.assert_allclose(models.measure(shared.windows.probe).phi, built.phi, atol=1e-3)


def test_phi_that_is_not_a_number_is_refused(shared: SharedParts) -> None:
    spoiled = Calibration(float("nan"), 0.0)
    with pytest.raises(NonFiniteError, match=r"start states diverged.*`rl.start_state_steps=100`"):
        build_start_states(shared.model, shared.windows, TRAINING, spoiled, SETTINGS)


def test_the_target_loss_is_the_distance() -> None:
    loss = build_target_loss(torch.tensor([2.0, 5.0]))
    assert loss(torch.tensor([3.5, 4.0])).tolist() == [1.5, 1.0]


def test_the_calibration_maps_the_bulk_of_phi_into_the_band(shared: SharedParts) -> None:
    calibration = fit_calibration(shared.model, shared.windows, TRAINING, seed=0)
    models = StackedModels(shared.model, 1, TRAINING, calibration)
    batches = shared.windows.sample([(9, 9)], 40, 2)[:, 0]
    phi = np.array([models.measure(batch).phi[0] for batch in batches])
    assert np.mean((phi > 2.5) & (phi < 6.5)) > 0.8
