"""The term of Φ in the loss: λ once, nothing inside the band, its gradients and its measure."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from infinito.config import LanguagePhiConf, MemoryConf
from infinito.errors import ConfigError, NonFiniteError
from infinito.models.distance_lm.config import DistanceLMConfig
from infinito.models.memory.model import with_memory
from infinito.models.observation.watching import observed
from infinito.models.pretrained.lora import LoraSettings, add_lora
from infinito.objectives.phi import Calibration
from infinito.training.phi.term import PhiObjective
from tests.models.tiny_models import CONFIGS, tokens


def build_model(name: str = "llama") -> PreTrainedModel:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(copy.deepcopy(CONFIGS[name]))


def gradients(lambda_phi: float = 1.0, band: tuple[float, float] = (11, 12)) -> list[Tensor]:
    """Of the loss of Φ alone: the language loss is a constant here."""
    model = build_model()
    objective = PhiObjective(LanguagePhiConf(lambda_phi=lambda_phi, band=list(band)), Calibration())
    with observed(model) as seen:
        model(input_ids=tokens(), use_cache=False)
    loss = objective.add_to(torch.zeros((), requires_grad=True), model, seen)
    weights = list(model.parameters())
    return list(torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True))


def test_lambda_is_applied_once() -> None:
    """Half of λ is half of the gradient; twice applied it would be a quarter."""
    whole, half = gradients(1.0), gradients(0.5)
    assert sum(float(each.abs().sum()) for each in whole) > 0
    for one, other in zip(whole, half, strict=True):
        assert torch.allclose(one / 2, other, atol=1e-7)


def test_no_gradient_inside_the_band() -> None:
    assert not any(each.any() for each in gradients(band=(-1, 11)))


@pytest.mark.parametrize("name", CONFIGS)
def test_every_layer_is_reached(name: str) -> None:
    """All of the trunk's matrices; the head is behind what Φ sees."""
    model = build_model(name)
    objective = PhiObjective(LanguagePhiConf(band=[11, 12]), Calibration())
    with observed(model) as seen:
        model(input_ids=tokens(), use_cache=False)
    objective.add_to(torch.zeros(()), model, seen).backward()
    for key, parameter in model.get_submodule(model.base_model_prefix).named_parameters():
        if parameter.ndim > 1:
            assert parameter.grad is not None, key
            assert parameter.grad.any(), key


def test_adapters_get_the_gradient_of_phi() -> None:
    """In float64 it agrees with finite differences of the loss to 1e-4."""
    settings = {**CONFIGS["distance"].to_dict(), "position": "learned"}
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(DistanceLMConfig(**settings)).eval().double()
    model.requires_grad_(False)
    add_lora(model, LoraSettings(rank=2, alpha=4.0))
    model.double()
    objective = PhiObjective(LanguagePhiConf(lambda_phi=0.6, band=[11, 12]), Calibration())
    weights = [each for each in model.parameters() if each.requires_grad]
    generator = torch.Generator().manual_seed(1)
    ways = [torch.randn(w.shape, generator=generator, dtype=torch.float64) for w in weights]

    def loss() -> Tensor:
        with observed(model) as seen:
            model(input_ids=tokens(), use_cache=False)
        return objective.add_to(torch.zeros((), dtype=torch.float64), model, seen)

    @torch.no_grad()
    def moved(step: float) -> float:
        for weight, way in zip(weights, ways, strict=True):
            weight += step * way
        return float(loss())

    moved(1e-2)  # adapters start at a product of 0, where half of them have no gradient
    gradients = torch.autograd.grad(loss(), weights)
    assert all(each.any() for each in gradients)
    along = sum(float((g * way).sum()) for g, way in zip(gradients, ways, strict=True))
    above = moved(1e-6)
    assert along == pytest.approx((above - moved(-2e-6)) / 2e-6, rel=1e-4)


def test_phi_never_trains_learned_weights_or_the_memory() -> None:
    model = with_memory(build_model(), MemoryConf(segment=8), learned_weights=True)
    objective = PhiObjective(LanguagePhiConf(band=[11, 12], weights="learned"), Calibration())
    with observed(model) as seen:
        logits = model(input_ids=tokens(), use_cache=False).logits
    objective.add_to(torch.zeros(()), model, seen).backward(retain_graph=True)
    assert all(each.grad is None for each in model.memory.parameters())
    logits.square().mean().backward()
    learned = model.memory.weight_logits
    assert learned is not None
    assert learned.grad is not None
    assert learned.grad.any()


def test_a_batch_of_one_and_a_short_one() -> None:
    model, objective = build_model(), PhiObjective(LanguagePhiConf(), Calibration())
    with observed(model) as seen:
        model(input_ids=tokens(batch=1), use_cache=False)
    assert torch.isfinite(objective.measure(model, seen).value)
    with observed(model) as seen:
        model(input_ids=tokens(time=7), use_cache=False)
    with pytest.raises(ConfigError, match="Φ of a sequence of 7 tokens: it needs 8"):
        objective.measure(model, seen)


def test_states_that_are_not_finite_stop_training() -> None:
    model, objective = build_model(), PhiObjective(LanguagePhiConf(), Calibration())
    embeddings = model.get_submodule("model.embed_tokens")
    assert isinstance(embeddings, torch.nn.Embedding)
    with torch.no_grad():
        embeddings.weight[3] = torch.nan
    with observed(model) as seen:
        model(input_ids=torch.full((1, 9), 3), use_cache=False)
    with pytest.raises(NonFiniteError, match="NaN or infinite"):
        objective.measure(model, seen)


def test_validation_depends_on_neither_order_nor_training() -> None:
    """The model's own weights equal, whatever its memory went through, and the other way round."""
    from infinito.training.module.evaluation import mean_loss

    model = with_memory(build_model(), MemoryConf(segment=8, slots=9))
    with torch.no_grad():
        model.memory.gate_bias.fill_(2.0)
    batches = [tokens(seed=seed) for seed in range(4)]
    before = mean_loss(model, batches)
    for seed in range(5, 9):
        model.train()(input_ids=tokens(seed=seed), use_cache=False)
    slots = model.memory.states.clone()
    assert mean_loss(model, batches) == before
    assert mean_loss(model, batches[::-1]) == before
    assert torch.equal(model.memory.states, slots)
