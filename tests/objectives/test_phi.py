"""Φ: hand-worked values, orders, gradients, calibration and band."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from infinito.errors import ConfigError, NonFiniteError
from infinito.objectives.phi import (
    MIN_TIME,
    Calibration,
    PhiComponents,
    band_loss,
    complexity,
    integration,
    phi,
    phi_components,
    rescale,
    sampled_rows,
    temporal,
)

NO_ZERO = torch.full((1,), 1e-12, dtype=torch.float64)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def entropies(batch: int, value: float = 0.9) -> Tensor:
    return torch.full((batch, 4), value)


def walk(batch: int = 4, time: int = 64, dim: int = 32) -> Tensor:
    """States that drift: each is nine tenths of the one before, and features share one cause."""
    steps = noise(batch, time, dim) + noise(batch, time, 1, seed=1)
    states = [steps[:, 0]]
    for index in range(1, time):
        states.append(0.9 * states[-1] + steps[:, index])
    return torch.stack(states, dim=1)


def test_temporal_by_hand() -> None:
    """(1,0), (0,1), (−1,−1)/√2 have cosines 0 and −1/√2: (1 − 0.35355)/2 = 0.32322."""
    states = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]], dtype=torch.float64)
    assert float(temporal(states, NO_ZERO)) == pytest.approx((1 - math.sqrt(0.5) / 2) / 2)


def test_complexity_by_hand() -> None:
    """Two directions with shares ¾ and ¼: entropy 0.56234, exp is 1.75477, of two: 0.87738."""
    states = torch.tensor(
        [[[3.0, 0.0], [-3.0, 0.0], [0.0, math.sqrt(3)], [0.0, -math.sqrt(3)]]]
    ).double()
    assert float(complexity(states, NO_ZERO)) == pytest.approx(0.877383, abs=1e-6)


def test_integration_agrees_with_the_slow_way() -> None:
    """½·log(|A|·|B|/|C|) of the weakest of the four bipartitions, each computed on its own."""
    from infinito.objectives import phi as module

    centred = walk(1).double()
    centred = centred - centred.mean(1, keepdim=True)
    projection, (first, second) = module.fixed_projection(32, torch.float64, centred.device)
    features = (centred @ projection)[0]
    covariance = torch.cov(features.T, correction=0)
    covariance = 0.9 * covariance + 0.1 * covariance.trace() / 8 * torch.eye(8).double()
    nats = [
        0.5
        * torch.log(
            torch.det(covariance[a][:, a])
            * torch.det(covariance[b][:, b])
            / torch.det(covariance[torch.cat([a, b])][:, torch.cat([a, b])])
        )
        for a, b in zip(first, second, strict=True)
    ]
    expected = 1 - math.exp(-2 * float(min(nats)) / 8)
    assert float(integration(centred, NO_ZERO)) == pytest.approx(expected, rel=1e-9)


def test_spread_by_hand() -> None:
    """Log odds of ¼, ½ and ¾ are −log 3, 0 and log 3; what lies outside stays at the ends."""
    raw = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0], requires_grad=True)
    found = rescale(raw, 0.25, 0.75)
    assert found.tolist() == pytest.approx([0.0, 0.0, 0.5, 1.0, 1.0], abs=1e-6)
    found.sum().backward()
    assert torch.isfinite(raw.grad).all()  # type: ignore[arg-type]


def test_orders_are_those_of_the_definition() -> None:
    real = walk()
    shuffled = real[:, torch.randperm(64, generator=torch.Generator().manual_seed(3))]
    kinds = {
        "real": real,
        "shuffled": shuffled,
        "noise": noise(4, 64, 32),
        "constant": torch.full((4, 64, 32), 0.1),
    }
    found = {name: phi_components(states, entropies(4)) for name, states in kinds.items()}
    mean = {name: PhiComponents(*(each.mean() for each in c)) for name, c in found.items()}
    assert mean["real"].temporal > 0.9
    for other in ("shuffled", "noise", "constant"):
        assert mean[other].temporal < 0.35
    # The whole covariance knows no order of time; the sampled states are others.
    assert torch.allclose(found["real"].integration, found["shuffled"].integration, atol=1e-5)
    assert mean["real"].integration > 4 * mean["noise"].integration
    assert mean["constant"].integration < 1e-6
    assert mean["constant"].complexity < 0.01 < mean["real"].complexity
    assert mean["real"].complexity < mean["noise"].complexity


@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_components_do_not_depend_on_scale_and_shift_of_features(scale: float) -> None:
    states = walk()
    moved = states * scale
    for before, after in zip(
        phi_components(states, entropies(4)), phi_components(moved, entropies(4)), strict=True
    ):
        assert torch.allclose(before, after, atol=1e-4)


def test_each_sequence_stands_alone() -> None:
    states = walk()
    whole = phi(phi_components(states, entropies(4)))
    one = phi(phi_components(states[2:3], entropies(1)))
    assert float(one) == pytest.approx(float(whole[2]), abs=1e-5)


@pytest.mark.parametrize("component", [temporal, integration, complexity])
def test_gradient_of_each_component(component: Callable[[Tensor, Tensor], Tensor]) -> None:
    states = walk(1, MIN_TIME, 6).double().requires_grad_()

    def raw(hidden: Tensor) -> Tensor:
        return component(hidden - hidden.mean(1, keepdim=True), NO_ZERO)

    assert torch.autograd.gradcheck(raw, (states,), atol=1e-4)
    assert float(torch.autograd.grad(raw(states).sum(), states)[0].abs().sum()) > 1e-3


def test_gradient_of_constants_is_finite() -> None:
    states = torch.zeros(1, 64, 16, requires_grad=True)
    phi(phi_components(states, entropies(1))).sum().backward()
    assert torch.isfinite(states.grad).all()  # type: ignore[arg-type]


def test_float32_inside_autocast() -> None:
    states = walk().bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        inside = phi(phi_components(states, entropies(4)))
    assert inside.dtype == torch.float32
    assert torch.equal(inside, phi(phi_components(states.float(), entropies(4))))


def test_drawing_numbers_before_changes_nothing() -> None:
    before = phi(phi_components(walk(), entropies(4)))
    state = torch.get_rng_state()
    assert torch.equal(before, phi(phi_components(walk(), entropies(4))))
    assert torch.equal(state, torch.get_rng_state())


def test_phi_by_hand() -> None:
    """10·(0.3·1 + 0.3·0.5 + 0.2·0.25 + 0.2·0) = 5."""
    parts = PhiComponents(*(torch.tensor([value]) for value in (1.0, 0.5, 0.25, 0.0)))
    assert float(phi(parts)) == pytest.approx(5.0)
    assert float(phi(parts, (1.0, 0.0, 0.0, 0.0))) == pytest.approx(10.0)


def test_calibration_puts_the_quantiles_on_the_band() -> None:
    raw = noise(400) * 0.3 + 4.4
    calibrated = Calibration.fitted(raw)(raw)
    low, high = torch.quantile(calibrated, torch.tensor([0.025, 0.975])).tolist()
    assert (low, high) == pytest.approx((3.0, 6.0), abs=1e-4)


def test_calibration_refuses_values_that_do_not_vary() -> None:
    with pytest.raises(NonFiniteError, match="no scale can be fitted"):
        Calibration.fitted(torch.full((9,), 4.0))


def test_band_by_hand() -> None:
    values = torch.tensor([1.0, 3.0, 4.5, 6.0, 7.5], requires_grad=True)
    loss = band_loss(values)
    assert loss.tolist() == [2.0, 0.0, 0.0, 0.0, 1.5]
    loss.sum().backward()
    assert values.grad.tolist() == [-1.0, 0.0, 0.0, 0.0, 1.0]  # type: ignore[union-attr]


def test_an_inverted_band_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"`objective.band`=\[6,3\] is inverted"):
        band_loss(torch.zeros(1), (6.0, 3.0))


def test_short_sequences_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"needs 8 at least, e.g. `data\.block_size=8`"):
        phi_components(noise(2, 7, 4), entropies(2))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_states_that_are_not_finite_are_refused(value: float) -> None:
    states = noise(2, 16, 4)
    states[1, 3, 2] = value
    with pytest.raises(NonFiniteError, match="hidden states that are NaN or infinite"):
        phi_components(states, entropies(2))
    with pytest.raises(NonFiniteError, match="attention entropies"):
        phi_components(noise(2, 16, 4), entropies(2, value))


def test_states_too_large_to_square_are_refused() -> None:
    """Up to there, Φ does not depend on their size."""
    states = noise(2, 16, 16)
    for component, other in zip(
        phi_components(states * 1e18, entropies(2)),
        phi_components(states, entropies(2)),
        strict=True,
    ):
        torch.testing.assert_close(component, other, atol=2e-4, rtol=0)
    for size in (3e18, 1e20):
        with pytest.raises(NonFiniteError, match=r"hidden states that are .* too large"):
            phi_components(states * size, entropies(2))


def test_states_of_one_feature_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"width 1: .* needs 2 features"):
        phi_components(noise(2, 16, 1), entropies(2))


def test_sampled_rows_see_two_keys_at_least() -> None:
    assert sampled_rows(8).tolist() == [1, 2, 3, 4, 5, 6, 7]
    rows = sampled_rows(256)
    assert len(rows) == 8
    assert (int(rows[0]), int(rows[-1])) == (1, 255)
