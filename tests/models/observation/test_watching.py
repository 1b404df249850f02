"""What is observed of a forward pass is what the model itself returns when asked for everything."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, Gemma2Config, PreTrainedModel

from infinito.attention.watching import row_entropy
from infinito.config.memory import MemoryConf
from infinito.errors import ConfigError
from infinito.models.distance_lm.config import DistanceLMConfig
from infinito.models.memory.model import with_memory
from infinito.models.observation.watching import find_trunk, observed
from infinito.objectives.phi import phi, phi_components, sampled_rows
from tests.models.tiny_models import CONFIGS, tokens


def built(name: str, **options: str) -> PreTrainedModel:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(copy.deepcopy(CONFIGS[name]), **options).eval()


@pytest.mark.parametrize("name", CONFIGS)
def test_components_are_those_of_all_states_and_weights(name: str) -> None:
    model, slow = built(name), built(name, attn_implementation="eager")
    with observed(model) as seen:
        model(input_ids=tokens(), use_cache=False)
    outputs = slow(input_ids=tokens(), output_attentions=True, output_hidden_states=True)
    rows = sampled_rows(36)
    entropy = torch.special.entr(outputs.attentions[-1]).sum(-1)[:, :, rows] / (rows + 1).log()
    expected = phi_components(outputs.hidden_states[-1], entropy.mean(1))
    for component, other in zip(seen.components(), expected, strict=True):
        assert torch.allclose(component, other, atol=1e-5)


@pytest.mark.parametrize("metric", ["dot", "l1", "cosine"])
def test_the_gradient_agrees_with_finite_differences(metric: str) -> None:
    """Of Φ by a direction in all weights, in float64: to 1e-4 of its size."""
    config = DistanceLMConfig(**{**CONFIGS["distance"].to_dict(), "metric": metric})
    config.position = "learned"  # rotations are float32 in every model
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval().double()
    generator = torch.Generator().manual_seed(1)
    weights = list(model.parameters())
    direction = [torch.randn(w.shape, generator=generator, dtype=torch.float64) for w in weights]

    def value() -> Tensor:
        with observed(model) as seen:
            model(input_ids=tokens(batch=2), use_cache=False)
        return phi(seen.components()).mean()

    @torch.no_grad()
    def moved(step: float) -> float:
        for weight, way in zip(weights, direction, strict=True):
            weight += step * way
        return float(value())

    gradients = torch.autograd.grad(value(), weights, allow_unused=True, materialize_grads=True)
    along = sum(float((g * d).sum()) for g, d in zip(gradients, direction, strict=True))
    step = 1e-6
    above = moved(step)
    assert along == pytest.approx((above - moved(-2 * step)) / (2 * step), rel=1e-4)
    assert abs(along) > 1e-3


def test_phi_is_of_the_trunk_before_its_memory() -> None:
    """So neither the memory's weights nor what it holds can raise Φ."""
    inner = built("llama")
    model = with_memory(inner, MemoryConf(segment=8)).eval()
    with torch.no_grad():
        model.memory.gate_bias.fill_(5.0)
    with observed(model) as seen:
        model(input_ids=tokens(), use_cache=False)
    with observed(inner) as plain:
        inner(input_ids=tokens(), use_cache=False)
    assert find_trunk(model) is find_trunk(inner)
    assert torch.equal(phi(seen.components()), phi(plain.components()))
    phi(seen.components()).sum().backward()
    assert all(parameter.grad is None for parameter in model.memory.parameters())
    assert any(parameter.grad is not None for parameter in inner.parameters())


def test_watching_leaves_transformers_as_it_was() -> None:
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    before = ALL_ATTENTION_FUNCTIONS["sdpa"]
    model = built("llama")
    expected = model(input_ids=tokens(), use_cache=False).logits
    with observed(model), observed(model) as seen:
        found = model(input_ids=tokens(), use_cache=False).logits
    assert ALL_ATTENTION_FUNCTIONS["sdpa"] is before
    assert torch.equal(found, expected)
    assert len(seen.calls) == 1


@pytest.mark.parametrize("name", CONFIGS)
def test_asking_for_weights_changes_nothing_that_is_observed(name: str) -> None:
    model, slow = built(name), built(name, attn_implementation="eager")
    with observed(model) as seen:
        model(input_ids=tokens(), use_cache=False)
    with observed(slow) as asked:
        slow(input_ids=tokens(), use_cache=False, output_attentions=True)
    assert torch.allclose(phi(seen.components()), phi(asked.components()), atol=1e-4)


def test_attention_that_is_more_than_scores_is_refused_only_while_watched() -> None:
    """Softcapping and a mask that is a bias: their breadth would be computed wrong."""
    config = Gemma2Config(
        vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8, intermediate_size=32, attn_logit_softcapping=2.0,
    )  # fmt: skip
    capped = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    capped(input_ids=tokens())
    with (
        pytest.raises(ConfigError, match="cannot be watched: it caps the logits"),
        observed(capped),
    ):
        capped(input_ids=tokens())
    model, bias = built("llama"), torch.zeros(3, 1, 36, 36)
    with observed(model):
        model(input_ids=tokens(), attention_mask=bias)
    bias[..., 3] = -1.5
    with pytest.raises(ConfigError, match="watched: its mask adds a bias"), observed(model):
        model(input_ids=tokens(), attention_mask=bias)


def test_attention_that_cannot_be_watched_is_refused() -> None:
    with observed(built("llama")) as seen:
        seen.hidden = torch.zeros(1, 9, 4)
    with pytest.raises(ConfigError, match=r"cannot be watched: .*`trainer.compile=false`"):
        seen.components()


def test_rows_of_a_padded_batch_see_real_tokens_only() -> None:
    model, ids = built("llama"), tokens()
    mask = torch.nn.functional.pad(torch.ones_like(ids), (4, 0))
    positions = (mask.cumsum(1) - 1).clamp_min(0)
    with observed(model) as seen:
        model(
            input_ids=torch.nn.functional.pad(ids, (4, 0)),
            attention_mask=mask, position_ids=positions, use_cache=False,
        )  # fmt: skip
    with observed(model) as plain:
        model(input_ids=ids, use_cache=False)
    rows = torch.tensor([3, 20, 35])
    assert torch.allclose(
        row_entropy(seen.calls[0], rows + 4), row_entropy(plain.calls[0], rows), atol=1e-5
    )
