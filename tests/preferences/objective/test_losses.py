"""Preference losses: by hand, by their minima and slopes, at no difference, and averaged."""

from __future__ import annotations

import math

import pytest
import torch

from infinito.errors import ConfigError
from infinito.preferences.objective.losses import LOSSES, REFERENCE_FREE, PairLogProbs
from infinito.preferences.objective.weighted_losses import PreferenceObjective

SMOOTHED = {"exo_pair": 0.1, "robust": 0.1, "cdpo": 0.1, "aot": 0.1, "aot_unpaired": 0.1}


def pairs(*rows: tuple[float, ...], tokens: tuple[int, int] = (2, 4)) -> PairLogProbs:
    columns = torch.tensor(rows, dtype=torch.float64).T
    lengths = [torch.full((len(rows),), count) for count in tokens]
    return PairLogProbs(*columns, *lengths)


ONE = pairs((-3.0, -5.0, -4.0, -4.0))
"""Ratios +1 and −1, so a margin of 2, a scaled margin of 1 at β = 0.5; per token ½ and −¼."""


def value(name: str, batch: PairLogProbs = ONE, **settings: float) -> float:
    return float(PreferenceObjective({name: 1.0}, **{"beta": 0.5, **settings})(batch).mean())  # type: ignore[arg-type]


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x))


def test_by_hand() -> None:
    """β = 0.5: scaled margin 1, rewards ±½, per-token margin ¾; σ(x) written out."""
    half, one = log_sigmoid(0.5), log_sigmoid(1.0)
    sigma = math.exp(half)
    expected = {
        "sigmoid": -one,
        "hinge": 0.0,
        "ipo": (0.75 - 1.0) ** 2,
        "nca_pair": -half - 0.5 * log_sigmoid(-0.5) - 0.5 * half,
        "bco_pair": -2 * half,
        "sppo_hard": 0.0,
        "apo_zero": 2 * (1 - sigma),
        "apo_down": sigma + 1 - math.exp(one),
        "sft": 1.5,
        "sigmoid_norm": -log_sigmoid(0.375),
        "aot": -one,
        "aot_unpaired": -one,
    }
    for name, loss in expected.items():
        assert value(name) == pytest.approx(loss, abs=1e-12), name


def test_smoothed_ones_by_hand() -> None:
    """ε = 0.1 at a scaled margin of 1."""
    won, lost = log_sigmoid(1.0), log_sigmoid(-1.0)
    smoothed = -0.9 * won - 0.1 * lost
    for name in ("cdpo", "aot", "aot_unpaired"):
        assert value(name, label_smoothing=0.1) == pytest.approx(smoothed, abs=1e-12)
    robust = (-0.9 * won + 0.1 * lost) / 0.8
    assert value("robust", label_smoothing=0.1) == pytest.approx(robust, abs=1e-12)
    exo = math.exp(won) * (won - math.log(0.9)) + math.exp(lost) * (lost - math.log(0.1))
    assert value("exo_pair", label_smoothing=0.1) == pytest.approx(exo, abs=1e-12)


def test_discopop_simpo_and_orpo_by_hand() -> None:
    """Per token −1.5 and −1.25; odds p/(1 − p)."""
    blend = 1 / (1 + math.exp(-1 / 0.05))
    expected = -log_sigmoid(1.0) * (1 - blend) + math.exp(-1.0) * blend
    assert value("discopop") == pytest.approx(expected, abs=1e-12)
    assert value("simpo", simpo_gamma=0.5) == pytest.approx(-log_sigmoid(0.5 * -0.25 - 0.5))
    chosen, rejected = math.exp(-1.5), math.exp(-1.25)
    odds = math.log(chosen / (1 - chosen)) - math.log(rejected / (1 - rejected))
    assert value("orpo") == pytest.approx(1.5 - 0.5 * log_sigmoid(odds), abs=1e-12)


def test_no_difference_is_ln_2_exactly() -> None:
    batch = pairs((-3.25, -7.5, -3.25, -7.5), (-1.0, -2.0, -1.0, -2.0))
    for name in ("sigmoid", "robust", "cdpo", "sigmoid_norm", "aot", "aot_unpaired"):
        smoothing = SMOOTHED.get(name, 0.0)
        assert abs(value(name, batch, label_smoothing=smoothing) - math.log(2)) < 1e-12


def test_aot_matches_by_rank() -> None:
    """Log-odds 3 and 1 against reference log-odds 0 and 2: sorted, 1 − 0 and 3 − 2."""
    batch = pairs((0.0, -3.0, 0.0, 0.0), (0.0, -1.0, 2.0, 0.0))
    assert value("aot", batch) == pytest.approx(-log_sigmoid(0.5), abs=1e-12)


def test_smoothing_puts_the_minimum_at_the_label_s_odds() -> None:
    """cdpo is least where σ(β·margin) = 1 − ε; its slope there is 0."""
    margin = torch.tensor([math.log(0.9 / 0.1) / 0.5], dtype=torch.float64, requires_grad=True)
    zero = torch.zeros(1, dtype=torch.float64)
    one = torch.ones(1)
    objective = PreferenceObjective({"cdpo": 1.0}, beta=0.5, label_smoothing=0.1)
    objective(PairLogProbs(margin, zero, zero, zero, one, one)).sum().backward()
    assert margin.grad is not None
    assert abs(float(margin.grad)) < 1e-12


def test_robust_is_unbiased() -> None:
    """With labels flipped at rate ε its mean is the clean DPO loss."""
    batch, flipped = ONE, pairs((-5.0, -3.0, -4.0, -4.0))
    for epsilon in (0.1, 0.3):
        mixed = (1 - epsilon) * value("robust", batch, label_smoothing=epsilon)
        mixed += epsilon * value("robust", flipped, label_smoothing=epsilon)
        assert mixed == pytest.approx(value("sigmoid", batch), abs=1e-12)


@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"sft", "apo_down", "discopop"}))
def test_preferring_the_chosen_answer_lowers_the_loss(name: str) -> None:
    """The gradient pulls the chosen answer up and the rejected one down.

    Not so by definition: sft, apo_down, and discopop near no difference.
    """
    batch = pairs((-3.0, -3.1, -3.0, -3.0), (-2.0, -1.9, -2.0, -2.0))
    chosen, rejected = (part.clone().requires_grad_() for part in batch[:2])
    objective = PreferenceObjective({name: 1.0}, label_smoothing=SMOOTHED.get(name, 0.0))
    objective(batch._replace(chosen=chosen, rejected=rejected)).sum().backward()
    for part, sign in ((chosen, -1), (rejected, 1)):
        assert part.grad is not None
        assert (sign * part.grad > 0).all()


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_only_some_read_the_reference(name: str) -> None:
    batch = pairs((-3.0, -3.5, -2.9, -3.2), (-2.0, -1.9, -2.5, -2.0))
    shifted = batch._replace(reference_chosen=batch.reference_chosen + 0.7)
    smoothing = SMOOTHED.get(name, 0.0)
    same = value(name, batch, label_smoothing=smoothing) == value(
        name, shifted, label_smoothing=smoothing
    )
    assert same == (name in REFERENCE_FREE)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_gradients_are_those_of_the_loss(name: str) -> None:
    objective = PreferenceObjective({name: 1.0}, label_smoothing=SMOOTHED.get(name, 0.0))
    batch = pairs((-3.0, -3.5, -2.9, -3.2), (-2.0, -1.9, -2.5, -2.0))

    def loss(chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
        return objective(batch._replace(chosen=chosen, rejected=rejected))

    inputs = [part.clone().requires_grad_() for part in batch[:2]]
    assert torch.autograd.gradcheck(loss, inputs)


def test_extreme_margins_stay_finite() -> None:
    batch = pairs((0.0, -4000.0, -2000.0, 0.0), (-4000.0, 0.0, 0.0, -2000.0))
    for name in sorted(set(LOSSES) - {"discopop", "orpo"}):
        assert math.isfinite(value(name, batch, label_smoothing=SMOOTHED.get(name, 0.0))), name


def test_weights_nll_and_averaging() -> None:
    mixed = PreferenceObjective({"sigmoid": 0.8, "bco_pair": 0.2}, beta=0.5, nll_weight=2.0)
    expected = 0.8 * value("sigmoid") + 0.2 * value("bco_pair") + 2.0 * 1.5
    assert float(mixed(ONE)) == pytest.approx(expected, abs=1e-12)
    averaged = PreferenceObjective({"sigmoid": 1.0}, beta=0.5, average_length=True)
    assert float(averaged(ONE)) == pytest.approx(value("sigmoid_norm"), abs=1e-12)
    again = PreferenceObjective({"ipo": 1.0}, beta=0.5, average_length=True)
    assert float(again(ONE)) == value("ipo")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"losses": {"sigmoide": 1.0}}, r"`dpo.loss`=.*did you mean `sigmoid`"),
        ({"losses": {}}, "`dpo.loss` is empty"),
        ({"losses": {"sigmoid": 0.0}}, r"`dpo.loss_weights`=\[0.0\]: expected a number above 0"),
        ({"beta": 0.0}, r"`dpo.beta`=0.0: expected a number above 0, e.g. `dpo.beta=0.1`"),
        ({"beta": float("nan")}, "`dpo.beta`=nan: expected a finite number"),
        (
            {"label_smoothing": 0.5},
            "`dpo.label_smoothing`=0.5: expected a number at least 0 and below 0.5",
        ),
        ({"label_smoothing": -0.1}, "`dpo.label_smoothing`=-0.1"),
        ({"losses": {"exo_pair": 1.0}}, "`dpo.label_smoothing=0.001`, as its paper does"),
        ({"discopop_tau": -1.0}, "`dpo.discopop_tau`=-1"),
        ({"nll_weight": -1.0}, "`dpo.nll_weight`=-1.0: expected a number at least 0"),
    ],
)
def test_what_cannot_be_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PreferenceObjective(**arguments)  # type: ignore[arg-type]


def test_faults_are_reported_together() -> None:
    with pytest.raises(ConfigError, match="3 faults"):
        PreferenceObjective({"ipos": 1.0}, beta=-1.0, label_smoothing=0.7)
